"""What happened to streams, and how far each had come when last seen."""

import sqlalchemy as sa
from alembic import op

from infra.db import UtcDateTime, binary_string

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "stream_alarm",
        sa.Column("topic", binary_string(40), nullable=False),
        sa.Column("kind", binary_string(30), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "kind", name="pk_stream_alarm"),
        mysql_charset="utf8mb4",
    )
    op.add_column(
        "stream_state", sa.Column("published", sa.BigInteger(), nullable=False, server_default="0")
    )


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("stream_state") as table:
        table.drop_column("published")
    op.drop_table("stream_alarm")
