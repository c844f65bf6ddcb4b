"""Cursors: what we gave out is read back exactly, anything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.events.cursor import MOST_CHARACTERS, Position, encode, parse
from workers.topics import TOPICS

places = st.builds(Position, st.integers(0, 10**9), st.integers(0, 2**63 - 1))
cursors = st.dictionaries(st.sampled_from(TOPICS), places, min_size=1)


@given(cursors)
def test_cursor_is_read_back_as_it_was(cursor: dict[str, Position]) -> None:
    assert parse(encode(cursor)) == cursor


@given(st.text(max_size=60))
def test_any_text_is_a_cursor_of_ours_or_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse(f"{text}\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "0",
        "1-1",
        "orders",
        "orders:",
        "orders:1",
        "orders:1-",
        "orders:-1",
        "orders:01-1",
        "orders:1-01",
        "orders:+1-1",
        "orders: 1-1",
        "orders:1-1 ",
        "orders:1-1,",
        ",orders:1-1",
        "orders:1-1,orders:1-1",
        "orders:1-1,orders:1-2",
        "orders:1-1\r\nX-Evil: 1",
        "orders:\u0661-\u0661",
        "orders:1-1;payments:1-1",
        "x" * (MOST_CHARACTERS + 1),
    ],
)
def test_text_that_we_never_gave_out_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse(text)


def test_cursor_over_all_topics_is_short_enough_to_be_read_back() -> None:
    cursor = {topic: Position(10**9, 2**63 - 1) for topic in TOPICS}

    assert len(encode(cursor)) <= MOST_CHARACTERS


def test_positions_are_ordered_as_redis_orders_ids() -> None:
    assert Position(1, 99) < Position(2, 1) < Position(2, 10)
