"""The cache: small documents with a life of their own."""

import pytest
import redis

from infra.cache import Cache
from infra.redis import Client, RedisDown
from tests.support.valkey import Valkey


@pytest.fixture
def cache(client: Client) -> Cache:
    return Cache(client)


def test_document_comes_back_as_it_was(cache: Cache) -> None:
    cache.put("quote:AAPL", {"c": 187.25, "name": "Ž"}, life_s=60)

    assert cache.find("quote:AAPL") == {"c": 187.25, "name": "Ž"}


def test_unknown_document_is_none(cache: Cache) -> None:
    assert cache.find("quote:NOPE") is None


def test_document_does_not_stay_for_ever(cache: Cache, plain: "redis.Redis") -> None:
    cache.put("quote:AAPL", {}, life_s=60)

    assert 0 < plain.ttl("quote:AAPL") <= 60


def test_cache_away_is_said_so(cache: Cache, valkey: Valkey) -> None:
    valkey.kill()

    with pytest.raises(RedisDown):
        cache.find("quote:AAPL")
    with pytest.raises(RedisDown):
        cache.put("quote:AAPL", {}, life_s=1)


@pytest.mark.parametrize("forged", ["", "no JSON", "[1]", "7", b"\xff\xfe"])
def test_what_somebody_else_wrote_is_as_good_as_nothing(
    cache: Cache, plain: "redis.Redis", forged: str | bytes
) -> None:
    plain.set("quote:AAPL", forged)

    assert cache.find("quote:AAPL") is cache.take("quote:AAPL") is None


def test_what_is_no_text_is_as_good_as_nothing(cache: Cache, plain: "redis.Redis") -> None:
    plain.hset("quote:AAPL", "c", "1")

    assert cache.find("quote:AAPL") is cache.take("quote:AAPL") is None
