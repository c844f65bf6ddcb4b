"""What is wrong with what we depend on, and since when, as this process has seen it."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from api.deps import Collaborators
from infra import db, redis
from infra.database import schema
from infra.errors import AppError, Transient
from infra.sharing.signs import CANARIES, Sign, Signs
from workers.queues import NAMES, STALE_AFTER_S

# Without these nothing can be served; without the others work is late, and orders are taken.
NEEDED = ("database", "tables", "broker", "streams", "cache")


class TablesMissing(Transient):
    """The migrations have not run."""

    code = "tables_missing"

    def __init__(self, missing: set[str]) -> None:
        named = ", ".join(sorted(missing)[:5])
        super().__init__(f"Tables are missing ({named}, …): run `tradepost migrate`.")


class QueueSilent(Transient):
    """Canaries, one every 15 seconds, do not come through a queue any more."""

    code = "queue_silent"

    def __init__(self, age_s: float) -> None:
        super().__init__(
            f"No task has come through for {age_s:.0f} s: its worker is dead or consumes nothing, "
            "or beat is dead."
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a part can be used; if not, why and since when."""

    ok: bool
    detail: str | None = None
    since: datetime | None = None


@dataclass
class Memory:
    """Since when this process has been up, and since when each part that ails has ailed."""

    up_since_s: float = field(default_factory=time.monotonic)
    _ailing: dict[str, datetime] = field(default_factory=dict)

    @property
    def uptime_s(self) -> float:
        """How long this process has been able to see anything."""
        return time.monotonic() - self.up_since_s

    def note(self, name: str, detail: str | None) -> Finding:
        """Remember how a part was found; `detail` None is well."""
        if detail is None:
            self._ailing.pop(name, None)
            return Finding(ok=True)
        since = self._ailing.setdefault(name, datetime.now(UTC))
        return Finding(ok=False, detail=detail, since=since)


def checks(kept: Collaborators, memory: Memory) -> dict[str, Callable[[], str | None]]:
    """Give what looks at each part and says what is wrong with it: the needed ones, the queues."""
    looks: dict[str, Callable[[], None]] = {
        "database": partial(db.ping, kept.database.engine),
        "tables": partial(_check_tables, kept.database),
        "broker": partial(redis.ping, kept.broker),
        "streams": partial(redis.ping, kept.streams),
        "cache": partial(redis.ping, kept.cache),
    }
    looks |= {f"queue {name}": partial(_check_queue, kept, memory, name) for name in NAMES}
    return {name: partial(_fault, look) for name, look in looks.items()}


def canary_ages_s(heard: Mapping[str, Sign], memory: Memory) -> Iterator[tuple[str, float]]:
    """Tell how long ago each queue was last consumed; for the unheard, since we listen."""
    for name in NAMES:
        sign = heard.get(name)
        yield name, sign.age_s if sign else memory.uptime_s


def _check_queue(kept: Collaborators, memory: Memory, name: str) -> None:
    heard = Signs(kept.cache, CANARIES).read()
    age_s = dict(canary_ages_s(heard, memory))[name]
    if age_s > STALE_AFTER_S:
        raise QueueSilent(age_s)


def _fault(look: Callable[[], None]) -> str | None:
    try:
        look()
    except AppError as error:
        return error.detail
    except db.SERVER_ERRORS as error:
        known = db.as_app_error(error)
        return known.detail if known else "The database refused."
    return None


def _check_tables(database: db.Database) -> None:
    with database.reads() as session:
        missing = schema.missing_tables(session)
    if missing:
        raise TablesMissing(missing)
