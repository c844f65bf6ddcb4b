"""The Python modules that a run needs, and how to get them. Needs only the standard library."""

from collections.abc import Iterable
from importlib.util import find_spec

from infra.errors import AppError

# What `requirements.in` asks for, by the names they are imported under.
NEEDED = (
    "alembic", "celery", "email_validator", "fastapi", "fastapi_offline", "flower", "hiredis",
    "httpx", "jwt", "limits", "orjson", "prometheus_client", "pwdlib", "pydantic_settings",
    "pymysql", "python_multipart", "redis", "rich", "sqlalchemy", "sse_starlette", "stripe",
    "structlog", "tenacity", "typer", "uvicorn", "websockets",
)  # fmt: skip


class ModuleMissing(AppError):
    """A Python module that the run needs is not installed."""

    code = "module_missing"

    def __init__(self, name: str) -> None:
        super().__init__(sentence_about(name))


def require_modules(names: Iterable[str] = NEEDED) -> None:
    """Look for the modules without importing them.

    Raises:
        ModuleMissing: the first that is not installed.
    """
    for name in names:
        if find_spec(name) is None:
            raise ModuleMissing(name)


def sentence_about(name: str) -> str:
    """Say which module is missing and how it is installed."""
    return (
        f"The Python module {name} is not installed: run `make install`, "
        "or `pip install --require-hashes -r requirements.txt`."
    )
