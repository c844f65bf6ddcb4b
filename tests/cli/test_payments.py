"""`tradepost payments reconcile` compares at once and tells by its exit code."""

import json
import subprocess
from collections.abc import Callable

import orjson
import pytest
import sqlalchemy as sa

from accounts import audit
from infra.db import Database
from shop.claiming import LEASE, MOST_TRIES
from shop.gateways.protocol import ChargeRequest, Succeeded
from shop.gateways.sandbox import SandboxGateway
from shop.payments import Payment
from tests.shop.stage import NOON, Shop
from tests.support.forks import Forks
from tests.support.sandbox import Sandbox

Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def payments(forks: Forks) -> Call:
    """Call `tradepost payments …` with these settings."""
    return lambda env, *arguments: forks.run("cli", "payments", *arguments, env=env)


def test_reconcile_ends_with_one_when_the_books_differ(
    sqlite_url: str, sandbox: Sandbox, payments: Call
) -> None:
    env = {"DATABASE_URL": sqlite_url, **sandbox.env()}

    agreeing = payments(env, "reconcile", "--json")
    stray = SandboxGateway(sandbox.gateway_url).charge(
        ChargeRequest("stray:1", "nobody", 700, "USD", "tok_visa")
    )
    differing, told = payments(env, "reconcile", "--json"), payments(env, "reconcile")

    assert isinstance(stray, Succeeded)
    assert (agreeing.returncode, json.loads(agreeing.stdout)["agrees"]) == (0, True)
    (finding,) = json.loads(differing.stdout)["findings"]
    assert (differing.returncode, finding["kind"]) == (1, "orphan_at_gateway")
    assert (finding["gateway_id"], finding["theirs"]) == (stray.id, 7.0)
    assert "(no order of ours), ours / theirs nothing / 7.00 USD" in told.stdout


def test_a_day_that_is_none_is_a_sentence(sqlite_url: str, payments: Call) -> None:
    answer = payments({"DATABASE_URL": sqlite_url}, "reconcile", "--day", "yesterday")

    assert answer.returncode == 2
    assert answer.stderr.splitlines() == ["yesterday is no day: write it as 2026-01-31."]


def test_what_is_held_is_settled_by_hand_and_written_down(
    sqlite_database: Database, sqlite_url: str, sandbox: Sandbox, payments: Call
) -> None:
    env = {"DATABASE_URL": sqlite_url, **sandbox.env()}
    shop = Shop(sqlite_database, SandboxGateway(sandbox.gateway_url))
    order_id = shop.place_one()
    for n in range(MOST_TRIES + 1):
        shop.claim(now=NOON + n * LEASE)
    request = ChargeRequest.from_document(orjson.loads(shop.attempt(order_id).request))
    made = shop.gateway.charge(request)
    assert isinstance(made, Succeeded)
    with sqlite_database.sessions.begin() as session:
        session.execute(sa.update(Payment).values(request_id="its-settlement-is-logged"))
    said = ["--charged", made.id, "--reason", "seen", "--by", "ada"]

    listed, told = payments(env, "held", "--json"), payments(env, "held")
    mistyped = payments(env, "settle", str(order_id), "--charged", "ch_9", "--reason", "seen")
    settled = payments(env, "settle", str(order_id), *said, "--json")
    again = payments(env, "settle", str(order_id), *said, "--json")

    (held,) = json.loads(listed.stdout)
    assert (listed.returncode, held["what"], held["order_id"]) == (1, "charge", order_id)
    assert (told.returncode, f"{order_id}:1" in told.stdout) == (1, True)
    assert (mistyped.returncode, made.id in mistyped.stderr) == (1, True)
    assert (settled.returncode, shop.status(order_id)) == (0, "paid")
    assert json.loads(settled.stdout) == {"order_id": order_id, "status": "paid"}
    assert "its-settlement-is-logged" in settled.stderr
    assert (again.returncode, again.stdout, again.stderr.count("\n")) == (1, "", 1)
    assert shop.timeline(order_id)["gateway_calls"][-1]["reason"] == "ada: seen"
    with sqlite_database.reads() as session:
        (entry,) = audit.list_entries(session, below=None, limit=9)
    assert (entry.action, entry.subject) == ("tradepost payments settle", f"orders/{order_id}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("settle", "1", "--reason", "seen"),
        ("settle", "1", "--charged", "ch_9", "--not-charged", "--reason", "seen"),
        ("settle-refund", "1", "--not-made"),
        ("settle", "1", "--not-charged", "--reason", "seen " * 31),
    ],
)
def test_half_a_decision_is_a_sentence(arguments: tuple[str, ...], payments: Call) -> None:
    answer = payments({}, *arguments)

    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (2, "", 1)
