"""What `tradepost doctor` finds in servers, and what to do about it."""

from collections.abc import Callable, Iterator
from functools import partial

import accounts.tables  # noqa: F401 - so that its tables are missed too
import market.models  # noqa: F401 - as above
from cli.doctor import Finding
from infra import redis
from infra.database.facts import of_database, of_redis
from infra.db import SERVER_ERRORS, Database, as_app_error, open_database
from infra.errors import AppError
from infra.jobs import queues, tasks
from infra.settings import Settings
from workers.queues import STALE_AFTER_S, Sources, find_consumption

# Leases and expiry go by the database's clock; with more, logs of two machines cannot be compared.
_MOST_SKEW_S = 2.0
_OLDEST = {"mysql": (8, 0), "mariadb": (10, 6), "sqlite": (3, 35)}
_OLDEST_REDIS = (7, 0)


def look_at_servers(settings: Settings) -> Iterator[Finding]:
    """Look at the database, each Redis and the queues; one that is away is a finding too."""
    if settings.uses_embedded_redis:
        return  # it is not running, or its run would have told where: `make run` starts everything
    database = open_database(settings.database)
    yield from _careful("The database", partial(_look_at_database, database))
    urls = {
        "The broker": settings.broker,
        "The Redis for streams": settings.streams,
        "The Redis for the cache": settings.cache,
    }
    for about, url in urls.items():
        if url != settings.broker or about == "The broker":
            yield from _careful(about, partial(_look_at_redis, about, _connect(url)))
    yield from _careful("The queues", partial(_look_at_queues, settings, database))
    database.engine.dispose()


def _careful(about: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except AppError as fault:
        return [Finding(about, "does not answer", fault.detail)]
    except SERVER_ERRORS as error:
        known = as_app_error(error)
        said = known.detail if known else "It refuses us: look at the login and the rights."
        return [Finding(about, "does not answer", said)]


def _look_at_database(database: Database) -> Iterator[Finding]:
    facts = of_database(database)
    oldest = ".".join(str(part) for part in _OLDEST[facts.kind])
    yield Finding(
        "The database",
        f"{facts.kind} {facts.version}",
        None
        if _numbers(facts.version) >= _OLDEST[facts.kind]
        else f"It is older than {facts.kind} {oldest}: take a newer one.",
    )
    yield _clock("The database's clock", facts.skew_s)
    missing = ", ".join(sorted(facts.missing_tables)[:5])
    yield Finding(
        "Tables",
        f"missing: {missing}" if missing else "up to date",
        "Run `tradepost migrate`." if missing else None,
    )
    if not missing:
        yield from _look_at_rows(database)


def _look_at_rows(database: Database) -> Iterator[Finding]:
    with database.reads() as session:
        failed, paused = tasks.count_failed(session), queues.list_pauses(session)
    look = "See `tradepost tasks list --state failed`, and `tradepost tasks retry`."
    yield Finding("Failed tasks", str(failed), look if failed else None)
    for pause in paused.values():
        yield Finding(
            f"Queue {pause.queue}",
            f"paused: {pause.reason}",
            f"When the reason is gone: `tradepost queues resume {pause.queue}`.",
        )


def _look_at_redis(about: str, client: redis.Client) -> Iterator[Finding]:
    facts = of_redis(client)
    wrong = []
    if _numbers(facts.version) < _OLDEST_REDIS:
        wrong.append("it is older than Redis 7: take a newer one")
    if facts.maxmemory_policy != "noeviction":
        wrong.append("it may throw queues and streams away: set maxmemory-policy to noeviction")
    if not facts.appendonly:
        wrong.append("a restart forgets everything in it: set appendonly to yes")
    said = f"{'; '.join(wrong)[:1].upper()}{'; '.join(wrong)[1:]}." if wrong else None
    yield Finding(about, f"Redis or Valkey {facts.version}", said)
    yield _clock(f"{about}'s clock", facts.skew_s)


def _look_at_queues(settings: Settings, database: Database) -> Iterator[Finding]:
    sources = Sources(database.reads, _connect(settings.broker), _connect(settings.cache))
    known = find_consumption(sources)
    if known is None:
        return
    for name, waiting in known.depths.items():
        canary = known.canaries.get(name)
        silent = canary is None or canary.age_s > STALE_AFTER_S
        heard = f"{canary.age_s:.0f} s ago" if canary else "not in the last hour"
        yield Finding(
            f"Queue {name}",
            f"last consumed {heard}, {waiting.depth} messages wait",
            f"Start a worker with `-Q {name}`, and beat; or look at their logs."
            if silent
            else None,
        )


def _clock(about: str, skew_s: float) -> Finding:
    far = abs(skew_s) > _MOST_SKEW_S
    wrong = "Set both by NTP: leases go by the database's clock, logs by ours." if far else None
    return Finding(about, f"{skew_s:+.1f} s from ours", wrong)


def _connect(url: str) -> redis.Client:
    return redis.connect(url, connect_timeout_s=1, timeout_s=2)


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.partition("-")[0].split(".")
    return tuple(int(part) for part in parts if part.isdecimal())
