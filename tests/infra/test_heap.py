"""What stays is not searched for garbage."""

import gc

from infra import heap


def test_what_is_there_is_left_out_of_searches_until_the_block_ends() -> None:
    before = gc.get_threshold()

    with heap.settled():
        searched, rarely = gc.get_objects(), gc.get_threshold()[0]

    assert len(searched) < 1000
    assert rarely > before[0]
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
