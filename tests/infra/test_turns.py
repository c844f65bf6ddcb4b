import asyncio
import threading

import pytest

from infra.turns import LineTooLong, Turns


async def test_no_more_work_at_once_than_there_are_turns() -> None:
    turns, gate, at_work, most = Turns(at_once=2, most_waiting=10), threading.Lock(), 0, 0

    def work() -> int:
        nonlocal at_work, most
        with gate:
            at_work += 1
            most = max(most, at_work)
        threading.Event().wait(0.01)  # long enough for the others to come too
        with gate:
            at_work -= 1
        return 7

    done = await asyncio.gather(*(turns.take(work) for _ in range(8)))

    assert done == [7] * 8
    assert most <= 2


async def test_line_has_an_end() -> None:
    turns, go_on = Turns(at_once=1, most_waiting=1), threading.Event()
    two = [asyncio.create_task(turns.take(go_on.wait)) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(LineTooLong) as refused:
        await turns.take(lambda: None)
    go_on.set()
    await asyncio.gather(*two)

    assert refused.value.retry_after_s == 5
    await turns.take(lambda: None)


async def test_failure_gives_the_turn_back() -> None:
    turns = Turns(at_once=1, most_waiting=0)

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await turns.take(lambda: 1 // 0)
