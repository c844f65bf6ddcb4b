"""What an operator's tools ask: is the process up, can it serve, what has been counted."""

from collections.abc import Callable
from datetime import datetime

import anyio
from anyio import to_thread
from fastapi import APIRouter, Request, Response, status
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from api import health
from api.deps import Kept
from api.health import Finding, Memory
from infra.metrics import expose

router = APIRouter(tags=["probes"])

_PATIENCE_S = 2
_TOO_LONG = f"No answer within {_PATIENCE_S} seconds."
# Probes of a frozen server must not take the threads that serve requests.
_turns = anyio.CapacityLimiter(8)


class Alive(BaseModel):
    """The process answers."""

    status: str = "ok"


class Part(BaseModel):
    """Whether one part can be used, and if not, why, and since when this process knows."""

    ok: bool
    detail: str | None = None
    since: datetime | None = None


class Readiness(BaseModel):
    """Whether this process can serve, part by part."""

    ready: bool
    degraded: list[str] = Field(
        description="Parts that ail. Where only queues do, requests are served and work is late."
    )
    parts: dict[str, Part]


@router.get("/healthz")
async def healthz() -> Alive:
    """Say that the process is up, whatever it depends on."""
    return Alive()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "Not ready."}})
async def readyz(kept: Kept, request: Request, response: Response) -> Readiness:
    """Say what can be used, each part by name: database, tables, Redis, and the queues.

    A queue whose worker is silent does not make this process unready: orders are taken, and worked
    on later.
    """
    memory: Memory = request.app.state.health
    faults: dict[str, str | None] = {}
    async with anyio.create_task_group() as group:
        for name, check in health.checks(kept, memory).items():
            faults[name] = _TOO_LONG
            group.start_soon(_look, faults, name, check)
    found = {name: memory.note(name, fault) for name, fault in faults.items()}
    response.headers["Cache-Control"] = "no-store"
    if not all(found[name].ok for name in health.NEEDED):
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return _readiness(found)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics() -> Response:
    """Give what has been counted here and by all workers, as Prometheus reads it."""
    return Response(expose(), media_type=CONTENT_TYPE_LATEST)


async def _look(faults: dict[str, str | None], name: str, check: Callable[[], str | None]) -> None:
    with anyio.move_on_after(_PATIENCE_S):
        faults[name] = await to_thread.run_sync(check, abandon_on_cancel=True, limiter=_turns)


def _readiness(found: dict[str, Finding]) -> Readiness:
    return Readiness(
        ready=all(found[name].ok for name in health.NEEDED),
        degraded=[name for name, finding in found.items() if not finding.ok],
        parts={
            name: Part(ok=finding.ok, detail=finding.detail, since=finding.since)
            for name, finding in found.items()
        },
    )
