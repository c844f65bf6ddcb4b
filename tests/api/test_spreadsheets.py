import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from api.spreadsheets import MOST_AT_ONCE, TooManyExports, as_csv

HEAD = ("a", "b")
SCOPE = {"type": "http", "asgi": {"spec_version": "2.4"}}


async def receive() -> Message:
    raise AssertionError


async def send(message: Message) -> None:
    return None


async def broken(message: Message) -> None:
    raise OSError


async def test_so_many_at_once_and_no_more_until_one_has_ended() -> None:
    under_way = [as_csv("x", HEAD, [[(1, 2)]]) for _ in range(MOST_AT_ONCE)]

    with pytest.raises(TooManyExports):
        as_csv("x", HEAD, [])
    await under_way.pop()(SCOPE, receive, send)
    under_way.append(as_csv("x", HEAD, []))
    with pytest.raises(ClientDisconnect):
        await under_way.pop()(SCOPE, receive, broken)
    under_way.append(as_csv("x", HEAD, []))

    for export in under_way:
        await export(SCOPE, receive, send)


def test_what_fails_at_first_takes_no_place() -> None:
    for _ in range(MOST_AT_ONCE + 1):
        with pytest.raises(ZeroDivisionError):
            as_csv("x", HEAD, ([(1 / 0,)] for _ in range(1)))
