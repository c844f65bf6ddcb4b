from collections.abc import Iterator

import pytest

from infra import redis
from infra.redis import RedisDown
from infra.sharing.refusals import Refusals
from tests.support.valkey import Valkey


@pytest.fixture
def refusals(valkey: Valkey) -> Iterator[Refusals]:
    with redis.connect(valkey.url(2)) as client:
        yield Refusals(client, name="test")


def refuse(refusals: Refusals, asker: str, *, life_s: int = 3600) -> bool:
    return refusals.refuse("/quote", asker=asker, enough=2, life_s=life_s)


def test_a_thing_is_closed_when_enough_were_refused(refusals: Refusals) -> None:
    assert not refuse(refusals, "AAPL")
    assert not refuse(refusals, "AAPL")
    assert refuse(refusals, "MSFT")

    (closed,) = refusals.list_closed()
    assert closed.what == "/quote"
    assert 3500 <= refusals.closed_for_s("/quote") <= closed.for_s + 1 <= 3601


def test_who_was_served_keeps_it_open(refusals: Refusals) -> None:
    refusals.serve("/quote", life_s=3600)

    assert not refuse(refusals, "AAPL")
    assert not refuse(refusals, "MSFT")


def test_who_is_served_opens_it_again(refusals: Refusals) -> None:
    for asker in ("AAPL", "MSFT"):
        refuse(refusals, asker)

    refusals.serve("/quote", life_s=3600)

    assert refusals.list_closed() == []
    assert refusals.closed_for_s("/quote") == 0


def test_it_is_forgotten_after_its_time(refusals: Refusals) -> None:
    for asker in ("AAPL", "MSFT"):
        refuse(refusals, asker, life_s=0)

    assert refusals.closed_for_s("/quote") == 0
    assert refusals.list_closed() == []


def test_without_redis_nobody_knows(refusals: Refusals, valkey: Valkey) -> None:
    valkey.kill()

    with pytest.raises(RedisDown):
        refusals.closed_for_s("/quote")
