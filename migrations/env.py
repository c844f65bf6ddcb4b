"""Runs migrations on the configured database; the URL never passes through a file."""

from alembic import context
from sqlalchemy.engine import Engine

from infra.db import Base, open_database
from infra.settings import load_settings

# To change a large table may take hours.
_PATIENCE_S = 12 * 60 * 60


def run() -> None:
    """Bring the database to the newest revision, or compare it with the models."""
    # To bring a database up to date needs no models, which take half a second to import.
    if not context.config.attributes.get("upgrade_alone"):
        _know_every_table()
    engine = context.config.attributes.get("engine") or _open()
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            compare_type=True,
            render_as_batch=connection.dialect.name == "sqlite",
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()


def _know_every_table() -> None:
    """Import whatever declares tables, for whoever compares them with the database."""
    import accounts.tables  # noqa: F401, PLC0415
    import infra.consumers.inbox  # noqa: PLC0415
    import infra.events.alarms  # noqa: PLC0415
    import infra.jobs.queues  # noqa: PLC0415
    import infra.jobs.tasks  # noqa: F401, PLC0415
    import market.bars  # noqa: PLC0415
    import market.models  # noqa: F401, PLC0415
    import shop.feed_state  # noqa: PLC0415
    import shop.gateway_calls  # noqa: PLC0415
    import shop.movements  # noqa: PLC0415
    import shop.reconciliation  # noqa: PLC0415
    import shop.refunds  # noqa: PLC0415
    import shop.sync  # noqa: PLC0415
    import shop.webhooks  # noqa: F401, PLC0415


def _open() -> Engine:
    return open_database(load_settings().database, patience_s=_PATIENCE_S).engine


run()
