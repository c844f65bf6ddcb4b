"""The contract of the event streams, for programs and for people, without a line from elsewhere."""

from functools import lru_cache
from typing import Any

import orjson
from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from api import VERSION, asyncapi_page
from api.deps import AppSettings
from infra.events import asyncapi
from workers.topics import KINDS, TOPICS

router = APIRouter(tags=["events"])


@router.get(
    "/asyncapi.json",
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def get_contract(settings: AppSettings) -> Response:
    """Describe every topic and every event on it (AsyncAPI 3)."""
    host = f"{settings.api_host}:{settings.api_port}"
    return Response(orjson.dumps(_document(host)), media_type="application/json")


@router.get("/asyncapi", response_class=HTMLResponse)
async def show_contract(settings: AppSettings) -> HTMLResponse:
    """Show the same as a page to read; it needs no network and no script."""
    return HTMLResponse(asyncapi_page.render(_document(f"{settings.api_host}:{settings.api_port}")))


@lru_cache(maxsize=1)
def _document(host: str) -> dict[str, Any]:
    return asyncapi.document(KINDS.values(), TOPICS, version=VERSION, host=host)
