"""Refunds that operators ask for, calls to gateways, and reconciliations."""

import sqlalchemy as sa
from alembic import op

from infra.db import BigId, LongText, UtcDateTime, binary_string

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("refund", sa.Column("requested_by", BigId, nullable=True))
    op.add_column("refund", sa.Column("idempotency_key", binary_string(255), nullable=True))
    op.add_column("refund", sa.Column("request_hash", binary_string(64), nullable=True))
    op.add_column("refund", sa.Column("restock", LongText, nullable=True))
    op.create_index(
        "ix_refund_order_id_idempotency_key",
        "refund",
        ["order_id", "idempotency_key"],
        unique=True,
    )
    op.drop_index("ix_refund_order_id", table_name="refund")
    op.create_table(
        "gateway_call",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("operation", binary_string(16), nullable=False),
        sa.Column("key", binary_string(64), nullable=False),
        sa.Column("outcome", binary_string(16), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gateway_call"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_gateway_call_order_id_id", "gateway_call", ["order_id", "id"], unique=False)
    op.create_table(
        "reconciliation",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("state", binary_string(16), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("report", LongText, nullable=True),
        sa.PrimaryKeyConstraint("day", name="pk_reconciliation"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_reconciliation_state", "reconciliation", ["state"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_table("reconciliation")
    op.drop_table("gateway_call")
    op.create_index("ix_refund_order_id", "refund", ["order_id"], unique=False)
    op.drop_index("ix_refund_order_id_idempotency_key", table_name="refund")
    for column in ("restock", "request_hash", "idempotency_key", "requested_by"):
        op.drop_column("refund", column)
