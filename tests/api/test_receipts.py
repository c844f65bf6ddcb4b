"""The example service as processes: killed, flushed, and nothing printed twice."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa
from pydantic import SecretStr
from typer.testing import CliRunner

from accounts.tables import Role
from cli import events
from cli.consumer_database import open_own
from examples.receipts import receipts
from infra.consumers import dead_letters
from infra.db import Database, open_database, transact
from infra.errors import Invalid
from infra.events.entries import from_cloud_event
from infra.outbox import Change
from infra.settings import Settings
from tests.api.conftest import register
from tests.api.event_stage import OWN_DB, Stage
from tests.support.forks import Forks
from tests.support.http import plain_client
from tests.support.outbox import record
from tests.support.processes import PYTHON, Child, Nursery, eventually, free_port
from tests.support.valkey import Valkey

pytest_plugins = ("tests.api.event_fixtures",)

WHEN = "2026-11-22T01:37:21Z"
ORDERS = 60
LETTER = (
    b'{"id":"1-99","source":"/tradepost/orders","type":"order.placed","subject":"orders/9",'
    b'"version":1,"data":{}}'
)


def completed(order_id: int) -> list[Change]:
    """Make the story of an order."""
    line = {"product_id": 1, "name": "Lamp", "quantity": 2, "unit_price": 5.0, "unit_fee": 1.0,
            "line_total": 12.0}  # fmt: skip
    shown = {
        "id": order_id, "user_id": 1, "currency": "USD", "subtotal": 10.0, "fee": 2.0,
        "total": 12.0, "refunded": 0.0, "items": [line], "created_at": WHEN, "updated_at": WHEN,
    }  # fmt: skip
    return [
        Change(
            "orders",
            f"order.{status}",
            f"orders/{order_id}",
            version,
            {**shown, "status": status.replace("placed", "pending"), "version": version},
        )
        for version, status in enumerate(("placed", "paid", "completed"), start=1)
    ]


class Shop:
    """What writes orders, and the printers that follow."""

    def __init__(self, stage: Stage, valkey: Valkey, nursery: Nursery, folder: Path) -> None:
        self.stage, self.valkey = stage, valkey
        self._nursery = nursery
        self._operator = register(stage.api, Role.OPERATOR)
        self._url = f"sqlite:///{folder / 'receipts.db'}"
        self.database: Database = open_database(self._url)

    def complete(self, first: int, last: int) -> None:
        for order_id in range(first, last + 1):
            record(self.stage.database, *completed(order_id))
        self.stage.publish()

    def printer(self) -> Child:
        """Start a receipt printer."""
        env = {
            "RECEIPTS_DATABASE": self._url,
            "STREAMS_URL": self.valkey.url(OWN_DB),
            "TRADEPOST_URL": self.stage.api.url,
            "TRADEPOST_TOKEN": self._operator.token,
            "CLAIM_AFTER_S": "2",
        }
        return self._nursery.start(
            "receipts", [PYTHON, "-m", "examples.receipts.receipts"], env=env
        )

    def printers(self) -> int:
        """Count those who have joined the group since Redis last forgot it."""
        with self.valkey.client(OWN_DB) as client, suppress(redis.ResponseError):
            return len(client.xinfo_consumers("events:orders", receipts.GROUP))
        return 0

    def printed(self) -> list[int]:
        try:
            with self.database.reads() as session:
                return list(session.scalars(sa.select(receipts.receipts.c.order_id)))
        except sa.exc.OperationalError:  # the printer has not made the table yet
            return []


@pytest.fixture
def shop(
    own_stage: Stage, valkey_server: Valkey, processes: Nursery, tmp_path: Path
) -> Iterator[Shop]:
    made = Shop(own_stage, valkey_server, processes, tmp_path)
    yield made
    made.database.engine.dispose()


def test_each_receipt_is_printed_once_whatever_is_killed_or_flushed(shop: Shop) -> None:
    shop.complete(1, ORDERS // 3)
    first, second = shop.printer(), shop.printer()
    eventually(lambda: len(shop.printed()) >= 5, 60, what="printers at work")
    first.kill()
    shop.complete(ORDERS // 3 + 1, 2 * ORDERS // 3)
    with shop.valkey.client(OWN_DB) as client:
        client.flushdb()
    third = shop.printer()
    shop.complete(2 * ORDERS // 3 + 1, ORDERS)

    eventually(lambda: len(shop.printed()) >= ORDERS, 60, what="all receipts")
    eventually(lambda: shop.printers() >= 2, 60, what="the third at work too")
    codes = [printer.stop() for printer in (second, third)]

    assert sorted(shop.printed()) == list(range(1, ORDERS + 1))
    assert codes == [0, 0]


def test_command_line_consumes_and_looks_after_dead_letters(
    shop: Shop, processes: Nursery, tmp_path: Path
) -> None:
    env = {
        "DATABASE_URL": shop.stage.api.database_url,
        "BROKER_URL": shop.valkey.url(OWN_DB),
        "LOG_FORMAT": "json",
        "DATA_DIR": str(tmp_path),
    }
    tradepost, handled = [PYTHON, "-m", "cli", "events"], tmp_path / "handled"
    settings = Settings(database_url=SecretStr(env["DATABASE_URL"]), data_dir=tmp_path)
    own = open_own(settings, "g")
    options = ["--topics", "orders", "--oldest", "--exec", f"tee -a {handled}"]
    options += ["--group", "g", "--metrics-port", str(metrics := free_port())]
    shop.complete(1, 1)
    consumer = processes.start("consume", [*tradepost, "consume", *options], env=env)
    consumer.wait_until(lambda: handled.exists() and handled.read_text().count("\n") == 3)
    transact(own.sessions, lambda session: _park(session, "g"))

    listed = processes.start("list", [*tradepost, "dead-letters", "list"], env=env)
    assert listed.wait() == 0
    replayed = processes.start(
        "replay", [*tradepost, "dead-letters", "replay", "--group", "g", "orders", "99"], env=env
    )
    assert replayed.wait() == 0
    consumer.wait_until(lambda: handled.read_text().count("\n") == 4)
    with plain_client(f"http://127.0.0.1:{metrics}") as client:
        told = client.get("/metrics").text

    assert consumer.stop() == 0
    assert "g  orders 99  orders/9 v1  failed  5 tries  no ink" in listed.log()
    assert 'tradepost_consumer_handled_total{group="g",topic="orders"}' in told
    with own.reads() as session:
        assert dead_letters.list_of(session) == []
    own.engine.dispose()


def _park(session: sa.orm.Session, group: str) -> None:
    letter = from_cloud_event(LETTER)
    dead_letters.park(session, group, letter, behind=False, tries=5, error="no ink")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--group", "g" * 61], "1 to 60 characters"),
        (["--group", "two words"], "without spaces"),
        (["--group", "g", "--exec", "no-such-command"], "there is no command 'no-such-command'"),
        (["--group", "g", "--exec", "'"], "No closing quotation"),
        (["--group", "g", "--topics", "orders,nope"], "There is no topic 'nope'."),
    ],
)
def test_what_cannot_be_consumed_is_refused_with_a_sentence(options: list[str], said: str) -> None:
    refused = CliRunner().invoke(events.app, ["consume", *options])

    assert isinstance(refused.exception, Invalid)
    assert said in refused.exception.detail


def test_one_group_goes_on_while_the_command_of_another_holds_the_lock_of_writers(
    forks: Forks, tmp_path: Path
) -> None:
    env = {"DATA_DIR": str(tmp_path)}
    slow, other = (open_own(Settings(data_dir=tmp_path), name) for name in ("slow", "the/other"))
    with slow.sessions.begin() as session:
        session.execute(sa.text("SELECT 1"))
        transact(other.sessions, lambda session: _park(session, "the/other"))
        listed = forks.run("cli", "events", "dead-letters", "list", env=env)

    for own in (slow, other):
        own.engine.dispose()
    assert (listed.returncode, listed.stdout.split()[0]) == (0, "the/other")
    assert not (tmp_path / "tradepost.db").exists()
