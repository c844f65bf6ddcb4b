"""Webhooks that came, each once."""

import sqlalchemy as sa
from alembic import op

from infra.db import UtcDateTime, binary_string

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "webhook_inbox",
        sa.Column("gateway", binary_string(20), nullable=False),
        sa.Column("event_id", binary_string(255), nullable=False),
        sa.Column("type", sa.String(length=100), nullable=False),
        sa.Column("body_hash", binary_string(64), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "event_id", name="pk_webhook_inbox"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_webhook_inbox_received_at", "webhook_inbox", ["received_at"], unique=False)


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_webhook_inbox_received_at", table_name="webhook_inbox")
    op.drop_table("webhook_inbox")
