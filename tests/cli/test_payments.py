"""`tradepost payments reconcile` compares at once and tells by its exit code."""

import json
import subprocess

import pytest
import sqlalchemy as sa

from accounts import audit
from infra.db import Database
from shop.gateways.protocol import ChargeRequest, Succeeded
from shop.gateways.sandbox import SandboxGateway
from shop.payments import Payment
from shop.settlement import LEASE, MOST_TRIES
from tests.shop.stage import NOON, Shop
from tests.support.gateway import FakeGateway
from tests.support.processes import PYTHON, ROOT, clean_environment
from tests.support.sandbox import Sandbox


def test_reconcile_ends_with_one_when_the_books_differ(sqlite_url: str, sandbox: Sandbox) -> None:
    env = {"DATABASE_URL": sqlite_url, "ENV_FILE": "", **sandbox.env()}

    agreeing = _reconcile(env)
    stray = SandboxGateway(sandbox.gateway_url).charge(
        ChargeRequest("stray:1", "nobody", 700, "USD", "tok_visa")
    )
    differing = _reconcile(env)

    assert isinstance(stray, Succeeded)
    assert (agreeing.returncode, json.loads(agreeing.stdout)["agrees"]) == (0, True)
    (finding,) = json.loads(differing.stdout)["findings"]
    assert (differing.returncode, finding["kind"]) == (1, "orphan_at_gateway")
    assert (finding["gateway_id"], finding["theirs"]) == (stray.id, 7.0)


def test_a_day_that_is_none_is_a_sentence(sqlite_url: str) -> None:
    answer = _reconcile({"DATABASE_URL": sqlite_url, "ENV_FILE": ""}, "--day", "yesterday")

    assert answer.returncode == 1
    assert answer.stderr.splitlines() == ["yesterday is no day: write it as 2026-01-31."]


def test_what_is_held_is_settled_by_hand_and_written_down(
    sqlite_database: Database, sqlite_url: str
) -> None:
    env = {"DATABASE_URL": sqlite_url, "ENV_FILE": ""}
    shop = Shop(sqlite_database, FakeGateway())
    order_id = shop.place_one()
    for n in range(MOST_TRIES + 1):
        shop.claim(now=NOON + n * LEASE)
    with sqlite_database.sessions.begin() as session:
        session.execute(sa.update(Payment).values(request_id="its-settlement-is-logged"))
    said = ["--charged", "ch_9", "--reason", "seen"]

    listed, told = _payments(env, "held", "--json"), _payments(env, "held")
    settled = _payments(env, "settle", str(order_id), *said, "--json")
    again = _payments(env, "settle", str(order_id), *said, "--json")

    (held,) = json.loads(listed.stdout)
    assert (listed.returncode, held["what"], held["order_id"]) == (1, "charge", order_id)
    assert (told.returncode, f"{order_id}:1" in told.stdout) == (1, True)
    assert (settled.returncode, shop.status(order_id)) == (0, "paid")
    assert json.loads(settled.stdout) == {"order_id": order_id, "status": "paid"}
    assert "its-settlement-is-logged" in settled.stderr
    assert (again.returncode, again.stdout, again.stderr.count("\n")) == (1, "", 1)
    with sqlite_database.reads() as session:
        (entry,) = audit.list_entries(session, below=None, limit=9)
    assert (entry.action, entry.subject) == ("tradepost payments settle", f"orders/{order_id}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("settle", "1", "--reason", "seen"),
        ("settle", "1", "--charged", "ch_9", "--not-charged", "--reason", "seen"),
        ("settle-refund", "1", "--not-made"),
    ],
)
def test_half_a_decision_is_a_sentence(arguments: tuple[str, ...]) -> None:
    answer = _payments({"ENV_FILE": ""}, *arguments)

    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (1, "", 1)


def _reconcile(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return _payments(env, "reconcile", "--json", *arguments)


def _payments(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PYTHON, "-m", "cli", "payments", *arguments],
        cwd=ROOT,
        env=clean_environment(env),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
