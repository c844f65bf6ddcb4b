"""How far a sync has come."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "sync_run", sa.Column("items_done", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column("sync_run", sa.Column("items_total", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("sync_run", "items_total")
    op.drop_column("sync_run", "items_done")
