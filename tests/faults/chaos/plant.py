"""The whole system on private servers; whatever of it dies is started again."""

import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import kill
from pathlib import Path
from subprocess import TimeoutExpired

from accounts.tables import Role
from infra.db import Database, open_database
from tests.faults.chaos.people import sign_in
from tests.support.databases import NAME, migrate, speak_as_mysql
from tests.support.fleet import Fleet
from tests.support.http import answers_ok, plain_client
from tests.support.mariadb import MariaDB, prepare_data_folder
from tests.support.processes import Child, Nursery, eventually, free_port
from tests.support.sandbox import Sandbox
from tests.support.valkey import Valkey

SECRET_KEY = "a-signing-key-for-chaos-only-0123456789abcdef-0123"
_WEBHOOK_SECRET = "whsec_chaos_0123456789abcdef0123456789"
# What beat starts by itself would write events while the invariants are being checked; and goods
# wait a little, so that a product may be withdrawn before they leave.
_SETTINGS = {"SYNC_EVERY_S": "0", "WATCHLIST": ",", "FULFILMENT_DELAY_S": "1"}
PROGRAMS = (
    "api", "payments-1", "payments-2", "market", "beat-1", "beat-2", "receipts-1", "receipts-2",
)  # fmt: skip
SERVERS = ("mariadb", "valkey", "gateway")
PLACES = (
    "orders.committed", "payments.claimed", "payments.charged", "payments.claimed_ahead",
    "payments.settled", "refunds.claimed", "refunds.sent", "events.numbered", "events.published",
    "products.chunk_taken",
)  # fmt: skip
# Who comes to a crash point ends there; this one stands still.
_STOPS = "payments-2"


@dataclass
class _Program:
    """One of our own processes, and when it is to be started again if it has ended."""

    start: Callable[[], Child]
    child: Child
    again_at: float = 0.0


class Plant:
    """MariaDB, Valkey, the stand-ins, API, workers and beat, each to be hurt by its name.

    From the main thread only: that is where processes are started.
    """

    def __init__(self, nursery: Nursery, folder: Path, rng: random.Random) -> None:
        self._rng = rng
        self.mariadb = _mariadb(nursery, folder)
        self.valkey = _valkey(nursery, folder)
        self.sandbox = Sandbox(nursery, folder / "sandbox")
        url = self.mariadb.create_database(NAME)
        migrate(url)
        self.database = _opened(url)
        self.api_port = free_port()
        self._subscribe()
        self.operator = sign_in(self.database, "operator", Role.ADMIN, SECRET_KEY)
        self._receipts_url = f"sqlite:///{folder / 'receipts.db'}"
        self.receipts = open_database(self._receipts_url)
        self._places = folder / "places"
        self._places.mkdir()
        self._disarm()
        self._fleet = Fleet(nursery, self._env(url, folder), folder)
        self._programs = {name: _Program(it, it()) for name, it in self._starts().items()}
        self._servers_again_at: dict[str, float] = {}
        self._thaw_at: dict[int, float] = {}
        self._frozen: dict[str, float] = {}
        self._undo_at: list[tuple[float, Callable[[], object]]] = []

    @property
    def api_url(self) -> str:
        """Where the API answers while it runs."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def parts(self) -> Mapping[str, Child]:
        """The processes of our own, by name."""
        return {name: program.child for name, program in self._programs.items()}

    def rest(self) -> None:
        """End what would go on to ask for quotes by itself."""
        for name in ("beat-1", "beat-2"):
            self._programs[name].again_at = float("inf")
            self._programs[name].child.kill_hard()

    def wait_until_ready(self) -> None:
        """Wait until orders are taken and settled."""
        eventually(lambda: answers_ok(f"{self.api_url}/readyz"), 120, interval_s=0.2)

    def kill(self, name: str, *, with_children: bool, away_s: float) -> None:
        """End one of our programs with SIGKILL; it is started again later."""
        program = self._programs[name]
        program.again_at = time.monotonic() + away_s
        if with_children:
            program.child.kill_hard()
            return
        program.child.send(signal.SIGKILL)
        with suppress(TimeoutExpired):
            program.child.wait(60)

    def stop(self, name: str, *, away_s: float) -> None:
        """Ask one of our programs to end, as a deployment does; it is started again later."""
        program = self._programs[name]
        program.again_at = time.monotonic() + away_s
        program.child.send(signal.SIGTERM)

    def kill_child(self, name: str) -> bool:
        """End one child of a worker with SIGKILL, if it has any; the worker replaces it."""
        children = self._programs[name].child.children()
        if not children:
            return False
        with suppress(ProcessLookupError):
            kill(self._rng.choice(children), signal.SIGKILL)
        return True

    def kill_server(self, name: str, *, away_s: float) -> None:
        """End a server with SIGKILL; it is started again later, on the same data."""
        if name == "gateway":
            self.sandbox.child.kill_hard()
        else:
            self._server(name).kill()
        self._servers_again_at[name] = time.monotonic() + away_s

    def freeze_server(self, name: str, for_s: float) -> None:
        """Stop a server with SIGSTOP for a while."""
        self._server(name).freeze()
        self._frozen[name] = time.monotonic() + for_s

    def pause(self, pid: int, for_s: float) -> None:
        """Stop a process with SIGSTOP for a while."""
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGSTOP)
            self._thaw_at[pid] = time.monotonic() + for_s

    def crash_at(self, place: str, for_s: float) -> None:
        """End the next process that comes to a dangerous line, or stop it there for a while."""
        (self._places / place).unlink(missing_ok=True)
        self._undo_at.append((time.monotonic() + for_s, self._wake))

    def refuse_writes(self, for_s: float) -> None:
        """Make the database read-only for a while."""
        with self.mariadb.connect() as connection, connection.cursor() as cursor:
            # Somebody who stands still may have a transaction open for longer than we do.
            cursor.execute("SET lock_wait_timeout = 2")
            cursor.execute("SET GLOBAL read_only = 1")
        self._undo_at.append((time.monotonic() + for_s, self._allow_writes))

    def hold_stock(self, for_s: float) -> None:
        """Keep all stock locked for a while, as somebody's long transaction would."""
        connection = self.mariadb.connect(NAME)
        cursor = connection.cursor()
        cursor.execute("SET innodb_lock_wait_timeout = 2")
        cursor.execute("BEGIN")
        cursor.execute("SELECT product_id FROM stock FOR UPDATE")
        self._undo_at.append((time.monotonic() + for_s, connection.close))

    def fill_redis(self, for_s: float) -> None:
        """Leave Redis no memory to write anything, for a while."""
        self._limit_redis(1)
        self._undo_at.append((time.monotonic() + for_s, lambda: self._limit_redis(0)))

    def is_there(self, server: str) -> bool:
        """Tell whether a server can be asked for something."""
        return server not in self._servers_again_at and server not in self._frozen

    def tend(self) -> None:
        """Start again what has ended and let go on what has stood still, each when it is time."""
        self._mend(time.monotonic())

    def heal(self) -> None:
        """Bring everything back to its normal state at once."""
        self._disarm()
        self._mend(float("inf"))
        self.sandbox.reset()
        self.wait_until_ready()

    def _mend(self, now: float) -> None:
        for pid in [pid for pid, at in self._thaw_at.items() if at <= now]:
            del self._thaw_at[pid]
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGCONT)
        for name in [name for name, at in self._frozen.items() if at <= now]:
            del self._frozen[name]
            self._server(name).thaw()
        for name in [name for name, at in self._servers_again_at.items() if at <= now]:
            del self._servers_again_at[name]
            self._start_server(name)
        for at, undo in [it for it in self._undo_at if it[0] <= now]:
            self._undo_at.remove((at, undo))
            undo()
        for program in self._programs.values():
            if program.again_at <= now and not program.child.is_running:
                program.child = program.start()

    def _disarm(self) -> None:
        for place in PLACES:  # whoever finds the file believes that another has crashed here
            (self._places / place).touch()

    def _wake(self) -> None:
        for pid in self._programs[_STOPS].child.children():
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGCONT)

    def _allow_writes(self) -> None:
        if self.is_there("mariadb"):  # one that was killed comes back writable
            self.mariadb.allow_writes()
        elif "mariadb" in self._frozen:
            self._undo_at.append((self._frozen["mariadb"], self._allow_writes))

    def _limit_redis(self, size_bytes: int) -> None:
        if self.is_there("valkey"):  # one that was killed comes back without a limit
            with self.valkey.client() as client:
                client.config_set("maxmemory", size_bytes)
        elif "valkey" in self._frozen:
            self._undo_at.append((self._frozen["valkey"], lambda: self._limit_redis(size_bytes)))

    def _start_server(self, name: str) -> None:
        if name == "gateway":
            self.sandbox.restart()
        else:
            self._server(name).start()

    def _server(self, name: str) -> MariaDB | Valkey:
        return self.mariadb if name == "mariadb" else self.valkey

    def _starts(self) -> dict[str, Callable[[], Child]]:
        fleet = self._fleet
        money, goods = ("payments", "events"), ("market", "products")
        ends, stops = self._armed("kill"), self._armed("stop")
        return {
            "api": lambda: fleet.api(port=self.api_port, env=ends, wait=False).child,
            "payments-1": lambda: fleet.worker(money, env=ends, wait=False),
            _STOPS: lambda: fleet.worker(money, env=stops, wait=False),
            "market": lambda: fleet.worker(goods, concurrency=1, env=ends, wait=False),
            "beat-1": lambda: fleet.beat(wait=False),
            "beat-2": lambda: fleet.beat(wait=False),
            "receipts-1": self._print_receipts,
            "receipts-2": self._print_receipts,
        }

    def _armed(self, how: str) -> dict[str, str]:
        places = ",".join(f"{place}={how}" for place in PLACES)
        return {"FAILPOINTS": places, "FAILPOINTS_DIR": str(self._places)}

    def _print_receipts(self) -> Child:
        return self._fleet.run(
            "receipts",
            ["-m", "examples.receipts.receipts"],
            RECEIPTS_DATABASE=self._receipts_url,
            TRADEPOST_URL=self.api_url,
            TRADEPOST_TOKEN=self.operator.access_token,
            CLAIM_AFTER_S="3",
        )

    def _env(self, url: str, folder: Path) -> dict[str, str]:
        return {
            **_SETTINGS,
            "DATABASE_URL": url,
            "BROKER_URL": self.valkey.url(0),
            "STREAMS_URL": self.valkey.url(1),
            "CACHE_URL": self.valkey.url(2),
            **self.sandbox.env(),
            "SECRET_KEY": SECRET_KEY,
            "GATEWAY_WEBHOOK_SECRET": _WEBHOOK_SECRET,
            "DATA_DIR": str(folder / "var"),
            "LOG_FORMAT": "console",
        }

    def _subscribe(self) -> None:
        told = {
            "url": f"{self.api_url}/payments/webhooks/sandbox",
            "secret": _WEBHOOK_SECRET,
        }
        with plain_client(self.sandbox.gateway_url) as http:
            assert http.post("/admin/webhook", json=told).is_success


@contextmanager
def started(folder: Path, rng: random.Random) -> Iterator[Plant]:
    """Run everything while the block lasts, with logs and data in `folder`."""
    nursery = Nursery(folder / "logs")
    try:
        plant = Plant(nursery, folder, rng)
        yield plant
        plant.database.engine.dispose()
        plant.receipts.engine.dispose()
    finally:
        nursery.end_all()


def _mariadb(nursery: Nursery, folder: Path) -> MariaDB:
    prepare_data_folder(folder / "mariadb")
    server = MariaDB(nursery, folder / "mariadb")
    server.start()
    return server


def _valkey(nursery: Nursery, folder: Path) -> Valkey:
    (folder / "valkey").mkdir()
    server = Valkey(nursery, folder / "valkey", appendonly=True)
    server.start()
    return server


def _opened(url: str) -> Database:
    database = open_database(url)
    speak_as_mysql(database.engine)
    return database
