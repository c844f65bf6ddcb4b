"""An index for the refunds in doubt: without it, the few held ones are looked for in all."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_refund_state_due_at", "refund", ["state", "due_at"])


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_refund_state_due_at", "refund")
