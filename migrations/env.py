"""Runs migrations on the configured database; the URL never passes through a file."""

from alembic import context
from sqlalchemy.engine import Engine

# Importing them makes every table known.
import accounts.tables  # noqa: F401
import infra.alarms
import infra.inbox
import infra.queues
import infra.tasks  # noqa: F401
import market.bars
import market.models  # noqa: F401
import shop.feed_state
import shop.gateway_calls
import shop.movements
import shop.reconciliation
import shop.refunds
import shop.sync
import shop.webhooks  # noqa: F401
from infra.db import Base, open_database
from infra.settings import load_settings

# To change a large table may take hours.
_PATIENCE_S = 12 * 60 * 60


def run() -> None:
    """Bring the database to the newest revision, or compare it with the models."""
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


def _open() -> Engine:
    return open_database(load_settings().database, patience_s=_PATIENCE_S).engine


run()
