"""The dashboard as `web/` was built: one page for all of its paths, and the files beside it."""

from functools import lru_cache
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from api.deps import AppSettings
from infra.settings import Settings

router = APIRouter(include_in_schema=False)

HOW_TO_GET_IT = (
    "There is no dashboard here yet:"
    " it is built by `make run` where npm of Node.js 20.19 or newer is found."
)
_NO_STORE = {"Cache-Control": "no-cache", "Vary": "Accept"}
# A file with a hash in its name never changes.
_FOR_EVER = "public, max-age=31536000, immutable"


def find_page(settings: Settings) -> HTMLResponse | None:
    """Give the dashboard's page, or None where it has not been built."""
    try:
        text = (settings.dashboard_dir / "index.html").read_text()
    except FileNotFoundError:
        return None
    return HTMLResponse(text, headers=_NO_STORE)


@router.get("/app")
@router.get("/app/{path:path}")
def show_page(settings: AppSettings) -> Response:
    """Show the page: it looks at its own address, and finds what belongs there."""
    return find_page(settings) or RedirectResponse("/")


@router.get("/assets/{path:path}")
async def send_file(path: str, request: Request, settings: AppSettings) -> Response:
    """Send a script, a style or a picture of the page."""
    try:
        answer = await _files(settings.dashboard_dir).get_response(path, request.scope)
    except RuntimeError:  # there is no such folder
        raise HTTPException(404) from None
    if "-" in path:
        answer.headers["Cache-Control"] = _FOR_EVER
    return answer


@lru_cache(maxsize=4)
def _files(folder: Path) -> StaticFiles:
    return StaticFiles(directory=folder / "assets", check_dir=False)
