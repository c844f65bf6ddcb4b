"""Bars that quotes are rolled up into, and how far that has come."""

import sqlalchemy as sa
from alembic import op

from infra.db import BigId, UtcDateTime, binary_string

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "quote_bar",
        sa.Column("symbol", binary_string(32), nullable=False),
        sa.Column("minutes", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("start_at", UtcDateTime(), nullable=False),
        sa.Column("source", binary_string(16), nullable=False),
        sa.Column("open", sa.String(length=40), nullable=False),
        sa.Column("high", sa.String(length=40), nullable=False),
        sa.Column("low", sa.String(length=40), nullable=False),
        sa.Column("close", sa.String(length=40), nullable=False),
        sa.Column("first_at", UtcDateTime(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("covered", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "minutes", "start_at", "source", name="pk_quote_bar"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "quote_roll",
        sa.Column("symbol", binary_string(32), nullable=False),
        sa.Column("quote_id", BigId, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("pruned_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("symbol", name="pk_quote_roll"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_quote_roll_pruned_at_symbol", "quote_roll", ["pruned_at", "symbol"])
    op.create_index("ix_quote_symbol_id", "quote", ["symbol", "id"])


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_quote_symbol_id", table_name="quote")
    op.drop_table("quote_roll")
    op.drop_table("quote_bar")
