"""The gateway's books: one SQLite file, one writer, many changes to a commit.

A change is answered only after its commit has reached the disk. Changes that arrive while a
commit is under way wait for the next one, so that many share the cost of one sync. Statements run
on the event loop and only the commit runs in a thread: a thread that runs statements would fight
the loop for the interpreter's lock at every step.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sandbox.gateway.asked import PageAsked
from sandbox.wire import Refusal

_SCHEMA = """
CREATE TABLE IF NOT EXISTS charge (
    id TEXT PRIMARY KEY,
    reference TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    amount INTEGER NOT NULL,
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS charge_by_reference ON charge (reference);
CREATE TABLE IF NOT EXISTS refund (
    id TEXT PRIMARY KEY,
    charge TEXT NOT NULL REFERENCES charge (id),
    amount INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    idempotency_key TEXT
);
CREATE INDEX IF NOT EXISTS refund_by_charge ON refund (charge);
CREATE TABLE IF NOT EXISTS answer (
    idempotency_key TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    status INTEGER NOT NULL,
    body BLOB NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Charge:
    """Money taken; the amount is in minor units."""

    id: str
    reference: str
    idempotency_key: str
    amount: int
    currency: str
    status: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Refund:
    """Money given back; the amount is in minor units."""

    id: str
    charge: str
    amount: int
    currency: str
    created_at: str
    idempotency_key: str | None
    status: str = "succeeded"


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What was answered under an idempotency key, to be answered again."""

    idempotency_key: str
    fingerprint: bytes
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class _Change:
    apply: Callable[[sqlite3.Connection], None]
    done: asyncio.Future[None]


class Ledger:
    """Charges, refunds and kept answers, durable before anybody hears of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = _connect(path)
        self._writer.executescript(_SCHEMA)
        _keep_keys_of_refunds(self._writer)
        self._reader = _connect(path)
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._waiting: list[_Change] = []
        self._commits: asyncio.Task[None] | None = None

    async def keep(self, answer: KeptAnswer, charge: Charge | None = None) -> None:
        """Write an answer, and the charge that it tells of, and wait until both are on disk."""

        def apply(connection: sqlite3.Connection) -> None:
            if charge is not None:
                _insert_charge(connection, charge)
            _insert_answer(connection, answer)

        await self._write(apply)

    async def keep_refund(self, answer: KeptAnswer, refund: Refund) -> None:
        """Write a refund and its answer, and wait until both are on disk.

        Raises:
            Refusal: 400, the charge has less than that left to give back.
        """

        def apply(connection: sqlite3.Connection) -> None:
            _check_refundable(connection, refund)
            _insert_refund(connection, refund)
            _insert_answer(connection, answer)

        await self._write(apply)

    def find_answer(self, idempotency_key: str) -> KeptAnswer | None:
        """Return what was answered under a key, or None."""
        row = self._reader.execute(
            "SELECT * FROM answer WHERE idempotency_key = ?", (idempotency_key,)
        ).fetchone()
        return None if row is None else KeptAnswer(*row)

    def find_charge(self, charge_id: str) -> Charge | None:
        """Return the charge of that id, or None."""
        found = self._charges("SELECT * FROM charge WHERE id = ?", charge_id)
        return found[0] if found else None

    def list_charges_of(self, reference: str) -> list[Charge]:
        """Return the charges of one reference, oldest first."""
        return self._charges("SELECT * FROM charge WHERE reference = ? ORDER BY rowid", reference)

    def list_charges_after(self, page: PageAsked) -> list[Charge]:
        """Return a page of charges and one more if there is one, oldest first.

        An empty id starts at the first.
        """
        return self._charges(
            "SELECT * FROM charge"
            " WHERE rowid > coalesce((SELECT rowid FROM charge WHERE id = ?), 0)"
            " AND created_at >= ? AND created_at < ? ORDER BY rowid LIMIT ?",
            *(page.after, page.since, page.until, page.limit + 1),
        )

    def list_refunds_after(self, page: PageAsked) -> list[Refund]:
        """Return a page of refunds and one more if there is one, oldest first."""
        rows = self._reader.execute(
            "SELECT refund.id, charge, refund.amount, currency, refund.created_at,"
            " refund.idempotency_key FROM refund JOIN charge ON charge.id = refund.charge"
            " WHERE refund.rowid > coalesce((SELECT rowid FROM refund WHERE id = ?), 0)"
            " AND refund.created_at >= ? AND refund.created_at < ?"
            " ORDER BY refund.rowid LIMIT ?",
            (page.after, page.since, page.until, page.limit + 1),
        )
        return [Refund(*row) for row in rows]

    def list_refunds_of(self, charge_id: str) -> list[Refund]:
        """Return the refunds of one charge, oldest first."""
        rows = self._reader.execute(
            "SELECT refund.id, charge, refund.amount, currency, refund.created_at,"
            " refund.idempotency_key FROM refund JOIN charge ON charge.id = refund.charge"
            " WHERE charge = ? ORDER BY refund.rowid",
            (charge_id,),
        )
        return [Refund(*row) for row in rows]

    async def read_everything(self) -> dict[str, list[dict[str, object]]]:
        """Return all charges and refunds, read in a thread: the books may be long."""
        return await asyncio.to_thread(_read_everything, self._path)

    async def close(self) -> None:
        """Finish the commit under way and close the file."""
        if self._commits is not None:
            await self._commits
        self._committer.shutdown()
        self._reader.close()
        self._writer.close()

    def _charges(self, query: str, *values: object) -> list[Charge]:
        return [Charge(*row) for row in self._reader.execute(query, values)]

    async def _write(self, apply: Callable[[sqlite3.Connection], None]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Change(apply, done))
        if self._commits is None or self._commits.done():
            self._commits = asyncio.create_task(self._commit_while_waiting())
        await done

    async def _commit_while_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                self._apply(batch)
                await loop.run_in_executor(self._committer, self._writer.execute, "COMMIT")
            except Exception as error:  # noqa: BLE001 - raised again in every caller that waits
                self._undo()
                _finish(batch, error)
            else:
                _finish(batch, None)

    def _apply(self, batch: list[_Change]) -> None:
        self._writer.execute("BEGIN IMMEDIATE")
        for change in batch:
            try:
                change.apply(self._writer)
            except Refusal as refusal:
                _finish([change], refusal)

    def _undo(self) -> None:
        if self._writer.in_transaction:
            self._writer.rollback()


def _finish(changes: list[_Change], error: Exception | None) -> None:
    for change in changes:
        # A change that was refused, or whose caller was cancelled, is done already.
        if change.done.done():
            continue
        if error is None:
            change.done.set_result(None)
        else:
            change.done.set_exception(error)


def _connect(path: Path) -> sqlite3.Connection:
    # The committing thread and the loop take turns on the writer, never at the same time.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _keep_keys_of_refunds(connection: sqlite3.Connection) -> None:
    """Add what books of older versions lack; refunds in them have no key."""
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(refund)")]
    if "idempotency_key" not in columns:
        connection.execute("ALTER TABLE refund ADD COLUMN idempotency_key TEXT")


def _insert_charge(connection: sqlite3.Connection, charge: Charge) -> None:
    connection.execute(
        "INSERT INTO charge VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            charge.id,
            charge.reference,
            charge.idempotency_key,
            charge.amount,
            charge.currency,
            charge.status,
            charge.created_at,
        ),
    )


def _insert_refund(connection: sqlite3.Connection, refund: Refund) -> None:
    connection.execute(
        "INSERT INTO refund VALUES (?, ?, ?, ?, ?)",
        (
            refund.id,
            refund.charge,
            refund.amount,
            refund.created_at,
            refund.idempotency_key,
        ),
    )


def _insert_answer(connection: sqlite3.Connection, answer: KeptAnswer) -> None:
    connection.execute(
        "INSERT INTO answer VALUES (?, ?, ?, ?)",
        (answer.idempotency_key, answer.fingerprint, answer.status, answer.body),
    )


def _check_refundable(connection: sqlite3.Connection, refund: Refund) -> None:
    (left,) = connection.execute(
        "SELECT amount - coalesce((SELECT sum(amount) FROM refund WHERE charge = charge.id), 0)"
        " FROM charge WHERE id = ?",
        (refund.charge,),
    ).fetchone()
    if refund.amount > left:
        raise Refusal(400, "refund_exceeds_charge", f"Only {left} of this charge is left.")


def _read_everything(path: Path) -> dict[str, list[dict[str, object]]]:
    connection = _connect(path)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("BEGIN")
        charges = connection.execute("SELECT * FROM charge ORDER BY rowid")
        refunds = connection.execute("SELECT * FROM refund ORDER BY rowid")
        return {"charges": list(map(dict, charges)), "refunds": list(map(dict, refunds))}
    finally:
        connection.close()
