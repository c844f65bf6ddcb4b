"""Work beside other work ends with it, also if a library drops a cancellation."""

import asyncio

import pytest

from infra.companion import beside


async def test_work_runs_beside_and_is_ended() -> None:
    ended = asyncio.Event()
    begun = asyncio.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with asyncio.timeout(20), beside(work()):
        await begun.wait()

    assert ended.is_set()


async def test_work_that_drops_a_cancellation_is_ended_all_the_same() -> None:
    dropped: list[str] = []

    async def work() -> None:
        for _ in range(3):
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                dropped.append("once more")
        await asyncio.sleep(1)

    async with asyncio.timeout(20), beside(work()):
        await asyncio.sleep(0)

    assert len(dropped) == 3


async def test_error_of_the_work_is_not_lost() -> None:
    async def work() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        async with asyncio.timeout(20), beside(work()):
            await asyncio.sleep(0)
