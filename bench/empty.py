"""The application with two endpoints more: one does nothing, one hands through what Redis has."""

from typing import Any

import redis.asyncio
from fastapi import APIRouter, Request, Response

from api.main import app
from market.wants import Kind, Want

__all__ = ["app"]

router = APIRouter()


@router.get("/bench/empty")
async def empty() -> dict[str, str]:
    """Answer with nothing."""
    return {}


@router.get("/bench/redis")
async def from_redis(request: Request, symbol: str) -> Response:
    """Answer with the quote as it lies in Redis, one GET for each request."""
    body = await _client(request).get(_quote(symbol))
    return Response(body or b"{}", media_type="application/json")


def _quote(symbol: str) -> str:
    return Want(Kind.QUOTE, symbol).cache_key


def _client(request: Request) -> Any:  # noqa: ANN401 - redis-py is generic over what it decodes
    state = request.app.state
    if not hasattr(state, "bench_redis"):
        state.bench_redis = redis.asyncio.Redis.from_url(state.collaborators.settings.cache)
    return state.bench_redis


# In front of all others, so that they are not compared with their paths first.
app.router.routes[:0] = router.routes
