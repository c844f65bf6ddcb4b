"""The stored watchlist, and what describes the market: sessions, holidays, lists of symbols."""

import sqlalchemy as sa
from alembic import op

from infra.db import LongText, UtcDateTime, binary_string

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "watched",
        sa.Column("symbol", binary_string(32), nullable=False),
        sa.Column("added_by", sa.BigInteger(), nullable=True),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", name="pk_watched"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "market_reference",
        sa.Column("name", binary_string(64), nullable=False),
        sa.Column("document", LongText, nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("as_of", UtcDateTime(), nullable=False),
        sa.Column("fetched_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_market_reference"),
        mysql_charset="utf8mb4",
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("market_reference")
    op.drop_table("watched")
