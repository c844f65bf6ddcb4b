"""`tradepost migrate`: bring the tables up to date."""

from pathlib import Path

from infra.errors import AppError, Misconfigured
from infra.settings import load_settings

_ALEMBIC_INI = Path(__file__).resolve().parent.parent / "alembic.ini"


class DatabaseRefused(AppError):
    """The database does not let us work."""

    code = "database_refused"

    def __init__(self, said: str) -> None:
        super().__init__(
            f"The database cannot be brought up to date ({said}): look at DATABASE_URL, or at "
            "MYSQL_HOST, MYSQL_USER, MYSQL_PASSWORD and MYSQL_DB."
        )


def migrate() -> None:
    """Bring the tables of the configured database up to date; nothing happens if they are."""
    # Slow to import, and every other command does without.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError  # noqa: PLC0415

    load_settings()
    try:
        command.upgrade(Config(_ALEMBIC_INI, attributes={"upgrade_alone": True}), "head")
    except (ArgumentError, NoSuchModuleError) as error:
        msg = "DATABASE_URL names no database that can be used: it looks like mysql://user@host/db."
        raise Misconfigured(msg) from error
    except DBAPIError as error:
        said = error.orig.args[-1] if error.orig and error.orig.args else type(error).__name__
        raise DatabaseRefused(str(said).splitlines()[0]) from error
