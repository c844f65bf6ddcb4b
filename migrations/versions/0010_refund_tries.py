"""How often a refund was taken up without an end, and when it was first sent."""

import sqlalchemy as sa
from alembic import op

from infra.db import UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("refund", sa.Column("tries", sa.Integer(), server_default="0", nullable=False))
    op.add_column("refund", sa.Column("first_sent_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("refund", "first_sent_at")
    op.drop_column("refund", "tries")
