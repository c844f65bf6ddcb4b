"""The faults: which there are, and which comes next. A seed decides it all."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import pymysql
import redis

from tests.faults.chaos.plant import PLACES, PROGRAMS, SERVERS, Plant
from tests.support.sandbox import ServiceName

# Two faults are so far apart, in parts of the mean: now and then one meets the one before.
_APART = (0.2, 1.8)
# How long a process stands still: mostly for a while, now and then for longer than any lease.
_SHORT_S = (0.3, 6.0)
_LONG_S = (32.0, 36.0)
_LONG_OF = 15
_AWAY_S = (0.2, 5.0)
_WORKERS = ("payments-1", "payments-2", "market")
_FINNHUB = (
    "http_500",
    "http_429",
    "slow",
    "garbage",
    "html",
    "hang",
    "zeros",
    "stale_time",
    "no_access",
)
_FEED = ("http_500", "slow", "garbage", "html", "hang", "empty", "shrunken")
_GATEWAY = (
    "charge_then_hang", "charge_then_500", "http_500", "http_429", "slow", "garbage", "html",
    "hang", "conflict", "decline", "refund_then_hang", "refund_then_500",
    "webhook_twice", "webhook_late", "webhook_first", "webhook_forged",
)  # fmt: skip


class Mischief:
    """Does one fault after the other to a plant, and counts them by kind."""

    def __init__(self, plant: Plant, rng: random.Random, *, per_minute: float) -> None:
        self._apart_s = 60 / per_minute
        self.done: Counter[str] = Counter()
        self.last = "none"
        self._plant = plant
        self._rng = rng
        self._kinds: dict[str, tuple[int, Callable[[], str | None]]] = {
            "kill": (8, self._kill),
            "kill child": (3, self._kill_child),
            "kill server": (4, self._kill_server),
            "pause": (5, self._pause),
            "pause server": (3, self._pause_server),
            "flush": (3, self._flush),
            "connections": (3, self._drop_connections),
            "read-only": (1, self._refuse_writes),
            "locks": (1, self._hold_stock),
            "memory": (1, self._fill_redis),
            "stop": (3, self._stop),
            "crash": (8, self._crash),
            "gateway": (10, lambda: self._lie("gateway", _GATEWAY)),
            "finnhub": (2, lambda: self._lie("finnhub", _FINNHUB)),
            "feed": (2, lambda: self._lie("feed", _FEED)),
        }

    def wait_s(self) -> float:
        """Tell how long it is until the next fault."""
        return self._apart_s * self._rng.uniform(*_APART)

    def strike(self, left_s: float) -> None:
        """Do the next fault; none lasts longer than the run, if it can be helped."""
        self._left_s = left_s
        weights = [weight for weight, _ in self._kinds.values()]
        done = None
        while done is None:  # what is away already cannot be hurt: another fault, then
            _, act = self._rng.choices(list(self._kinds.values()), weights)[0]
            with suppress(pymysql.err.Error, redis.RedisError):  # it stands still, or has no room
                done = act()
        self.done[done] += 1
        self.last = done

    def _kill(self) -> str | None:
        name = self._rng.choice(PROGRAMS)
        whole = self._rng.random() < 0.5
        if not self._plant.parts[name].is_running:
            return None
        self._plant.kill(name, with_children=whole, away_s=self._rng.uniform(*_AWAY_S))
        return f"kill {name}"

    def _kill_child(self) -> str | None:
        name = self._rng.choice(_WORKERS)
        if not self._plant.parts[name].is_running or not self._plant.kill_child(name):
            return None
        return f"kill child of {name}"

    def _kill_server(self) -> str | None:
        name = self._rng.choice(SERVERS)
        if not self._plant.is_there(name):
            return None
        self._plant.kill_server(name, away_s=self._rng.uniform(*_AWAY_S))
        return f"kill {name}"

    def _pause(self) -> str | None:
        name = self._rng.choice(PROGRAMS)
        child = self._plant.parts[name]
        if not child.is_running:
            return None
        for_s = self._some_time()
        of_family = self._rng.choice(["parent", "child", "all"])
        family = child.children()
        pids = {"parent": [child.pid], "child": family[:1], "all": [child.pid, *family]}[of_family]
        if not pids:
            return None
        for pid in pids:
            self._plant.pause(pid, for_s)
        return f"pause {name}"

    def _pause_server(self) -> str | None:
        name = self._rng.choice(["mariadb", "valkey"])
        if not self._plant.is_there(name):
            return None
        self._plant.freeze_server(name, self._rng.uniform(*_SHORT_S))
        return f"pause {name}"

    def _flush(self) -> str | None:
        what = self._rng.choice(["broker", "streams", "cache", "everything"])
        if not self._plant.is_there("valkey"):
            return None
        if what == "everything":
            self._plant.valkey.flush()
            return "flush everything"
        db = {"broker": 0, "streams": 1, "cache": 2}[what]
        with self._plant.valkey.client(db) as client:
            client.flushdb()
        return f"flush {what}"

    def _drop_connections(self) -> str | None:
        if not self._plant.is_there("mariadb"):
            return None
        self._plant.mariadb.drop_connections()
        return "drop connections"

    def _refuse_writes(self) -> str | None:
        return self._for_a_while("mariadb", self._plant.refuse_writes, "read-only")

    def _hold_stock(self) -> str | None:
        return self._for_a_while("mariadb", self._plant.hold_stock, "locks")

    def _fill_redis(self) -> str | None:
        return self._for_a_while("valkey", self._plant.fill_redis, "no memory")

    def _for_a_while(self, server: str, deed: Callable[[float], None], what: str) -> str | None:
        if not self._plant.is_there(server):
            return None
        deed(self._rng.uniform(*_AWAY_S))
        return what

    def _crash(self) -> str | None:
        place = self._rng.choice(PLACES)
        self._plant.crash_at(place, self._some_time())
        return f"crash at {place}"

    def _stop(self) -> str | None:
        name = self._rng.choice(PROGRAMS)
        if not self._plant.parts[name].is_running:
            return None
        self._plant.stop(name, away_s=self._rng.uniform(*_AWAY_S))
        return f"stop {name}"

    def _lie(self, service: ServiceName, lies: Sequence[str]) -> str | None:
        name, times = self._rng.choice(lies), self._rng.randint(1, 20)
        if not self._plant.is_there("gateway"):
            return None
        self._plant.sandbox.fault(service, name, times=times)
        return f"{service} {name}"

    def _some_time(self) -> float:
        short_s = self._rng.uniform(*_SHORT_S)
        long_s = self._rng.uniform(*_LONG_S)
        is_long = self._rng.randrange(_LONG_OF) == 0 and long_s < self._left_s
        return long_s if is_long else short_s
