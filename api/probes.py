"""What an operator's tools ask: is the process up, can it serve, what has it counted."""

from collections.abc import Callable
from functools import partial

import anyio
from anyio import to_thread
from fastapi import APIRouter, Response, status
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from api.deps import Collaborators, Kept
from infra import db, redis, schema
from infra.errors import AppError, Transient

router = APIRouter(tags=["probes"])

_PATIENCE_S = 2
# Probes of a frozen server must not take the threads that serve requests.
_turns = anyio.CapacityLimiter(8)


class Alive(BaseModel):
    """The process answers."""

    status: str = "ok"


class Part(BaseModel):
    """Whether one part can be used, and if not, why."""

    ok: bool
    detail: str | None = None


class Readiness(BaseModel):
    """Whether this process can serve, part by part."""

    ready: bool
    parts: dict[str, Part]


class TablesMissing(Transient):
    """The migrations have not run."""

    code = "tables_missing"

    def __init__(self, missing: set[str]) -> None:
        named = ", ".join(sorted(missing)[:5])
        super().__init__(f"Tables are missing ({named}, …): run `tradepost migrate`.")


@router.get("/healthz")
async def healthz() -> Alive:
    """Say that the process is up, whatever it depends on."""
    return Alive()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "Not ready."}})
async def readyz(kept: Kept, response: Response) -> Readiness:
    """Say whether database, tables and Redis can be used, each by name."""
    checks = _checks(kept)
    parts: dict[str, Part] = {}
    async with anyio.create_task_group() as group:
        for name, check in checks.items():
            group.start_soon(_look, parts, name, check)
    ready = all(part.ok for part in parts.values())
    if not ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    response.headers["Cache-Control"] = "no-store"
    return Readiness(ready=ready, parts={name: parts[name] for name in checks})


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics() -> Response:
    """Give what this process has counted, as Prometheus reads it."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _checks(kept: Collaborators) -> dict[str, Callable[[], None]]:
    return {
        "database": partial(db.ping, kept.database.engine),
        "tables": partial(_check_tables, kept.database),
        "broker": partial(redis.ping, kept.broker),
        "streams": partial(redis.ping, kept.streams),
        "cache": partial(redis.ping, kept.cache),
    }


async def _look(parts: dict[str, Part], name: str, check: Callable[[], None]) -> None:
    parts[name] = Part(ok=False, detail=f"No answer within {_PATIENCE_S} seconds.")
    with anyio.move_on_after(_PATIENCE_S):
        parts[name] = await to_thread.run_sync(
            _outcome, check, abandon_on_cancel=True, limiter=_turns
        )


def _outcome(check: Callable[[], None]) -> Part:
    try:
        check()
    except AppError as error:
        return Part(ok=False, detail=error.detail)
    except db.SERVER_ERRORS as error:
        known = db.as_app_error(error)
        return Part(ok=False, detail=known.detail if known else "The database refused.")
    return Part(ok=True)


def _check_tables(database: db.Database) -> None:
    with database.reads() as session:
        missing = schema.missing_tables(session)
    if missing:
        raise TablesMissing(missing)
