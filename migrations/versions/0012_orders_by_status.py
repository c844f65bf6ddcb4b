"""An index for the list of orders in one state: without it, a rare state is looked for in all."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_orders_status_id", "orders", ["status", "id"])


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_orders_status_id", "orders")
