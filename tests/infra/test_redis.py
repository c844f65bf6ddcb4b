"""Our own clients: one kind of failure, soon, and no hidden repeats."""

import time
from collections.abc import Callable
from functools import partial

import pytest
import redis as redis_py

from infra.bells import Bells
from infra.redis import Client, RedisDown, connect, ping, translated
from infra.sharing import tally
from infra.sharing.budget import CallBudget, Lane, Limits
from infra.sharing.lease import Lease
from infra.sharing.refusals import Refusals
from infra.sharing.signs import WORKERS, Signs, read_depths
from infra.sharing.wanted import Wanted
from tests.support.processes import free_port
from tests.support.proxy import Proxy
from tests.support.valkey import Valkey


def test_server_that_refuses_connections_is_down() -> None:
    with pytest.raises(RedisDown):
        ping(connect(f"redis://127.0.0.1:{free_port()}/0"))


def test_server_that_does_not_answer_is_down_in_time(valkey: Valkey) -> None:
    client = connect(valkey.url(), timeout_s=0.2)
    valkey.freeze()
    began = time.monotonic()

    with pytest.raises(RedisDown):
        ping(client)

    valkey.thaw()
    assert time.monotonic() - began < 30


def test_command_whose_answer_is_lost_is_not_sent_again(
    valkey: Valkey, proxy_to: Callable[[int], Proxy], plain: "redis_py.Redis"
) -> None:
    proxy = proxy_to(valkey.port)
    client = connect(proxy.url(valkey.url()))
    proxy.cut_at(b"INCR")

    with pytest.raises(RedisDown), translated():
        client.incr("counted")

    client.close()
    assert plain.get("counted") == "1"


def test_server_without_memory_is_down(client: Client, plain: "redis_py.Redis") -> None:
    plain.config_set("maxmemory", 1)

    with pytest.raises(RedisDown), translated():
        client.set("name", "value")


def test_mistake_of_ours_is_not_hidden(client: Client, plain: "redis_py.Redis") -> None:
    plain.set("name", "value")

    with pytest.raises(redis_py.ResponseError), translated():
        client.lpush("name", "value")


def test_key_that_somebody_has_overwritten_is_begun_anew(
    client: Client, plain: "redis_py.Redis"
) -> None:
    budget = CallBudget(client, name="finnhub", limits=Limits(60, 30))
    wanted, refusals = Wanted(client, name="market"), Refusals(client, name="market")
    signs = Signs(client, WORKERS)
    uses: list[tuple[str, Callable[[], object], object]] = [
        ("signs:workers", signs.read, {}),
        ("signs:workers", partial(signs.leave, "here"), None),
        ("tally", partial(tally.read, client), {}),
        ("market:wanted", partial(wanted.add, ["quote A"], lane=Lane.INTERACTIVE), None),
        ("market:wanted", partial(wanted.take, lane=Lane.INTERACTIVE, limit=9), []),
        ("market:recent", partial(wanted.list_recent, within_s=9, limit=9), []),
        ("market:polled", partial(wanted.map_polled, ["quote A"]), {}),
        ("market:polled", partial(wanted.note_polled, ["quote A"]), None),
        ("market:closed", refusals.list_closed, []),
        ("budget:finnhub:log", partial(budget.take, Lane.INTERACTIVE), 0.0),
        ("budget:finnhub:state", partial(budget.wait_s, Lane.SCHEDULED), 0.0),
        ("budget:finnhub:log:backfill", budget.look, budget.look()),
    ]

    for key, use, answer in uses:
        plain.flushdb()
        plain.set(key, "forged")
        assert use() == answer, key
        assert plain.type(key) != "string", key


def test_queue_that_somebody_has_overwritten_tells_nothing(
    client: Client, plain: "redis_py.Redis"
) -> None:
    plain.set("payments", "forged")

    with pytest.raises(RedisDown):
        read_depths(client, ["payments"])
    assert plain.get("payments") == "forged"


def test_budget_is_begun_anew_as_a_whole(client: Client, plain: "redis_py.Redis") -> None:
    budget = CallBudget(client, name="finnhub", limits=Limits(60, 30))
    assert budget.take(Lane.INTERACTIVE) == 0

    plain.delete("budget:finnhub:log")
    plain.set("budget:finnhub:log", "forged")

    assert budget.take(Lane.INTERACTIVE) == 0
    assert budget.take(Lane.INTERACTIVE) > 0  # as after a flush: what was spent is not known


@pytest.mark.parametrize("kind", ["string", "list"])
def test_what_somebody_has_put_there_for_ever_is_in_nobodys_way_for_long(
    client: Client, plain: "redis_py.Redis", kind: str
) -> None:
    wanted, lease = Wanted(client, name="market"), Lease(client, name="trades", life_s=30)
    claims: dict[str, Callable[[], object]] = {
        "bell:payments.settle": partial(Bells(client).claim, "payments.settle"),
        "market:flight:quote A": partial(wanted.begin, "quote A"),
        "market:turn": partial(wanted.claim_turn, for_s=30),
        "lease:trades": lease.hold,
    }
    for key in claims:
        plain.set(key, "forged") if kind == "string" else plain.rpush(key, "forged")

    assert not any(claim() for claim in claims.values())

    assert all(0 < plain.ttl(key) <= 30 for key in claims)
