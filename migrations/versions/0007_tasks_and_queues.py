"""History of tasks, paused queues, and the request that asked for a row."""

import sqlalchemy as sa
from alembic import op

from infra.db import BigId, LongText, UtcDateTime, binary_string

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ASKED_FOR = ("payment", "refund", "sync_run", "reconciliation", "event")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "task_run",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("task_id", binary_string(64), nullable=False),
        sa.Column("run", binary_string(64), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("name", binary_string(80), nullable=False),
        sa.Column("queue", binary_string(40), nullable=False),
        sa.Column("state", binary_string(16), nullable=False),
        sa.Column("arguments", LongText, nullable=False),
        sa.Column("request_id", binary_string(64), nullable=True),
        sa.Column("worker", binary_string(150), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("runtime_ms", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.String(length=500), nullable=True),
        sa.Column("traceback", LongText, nullable=True),
        sa.Column("same_as", binary_string(120), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_task_run"),
        sa.UniqueConstraint("same_as", name="uq_task_run_same_as"),
        sa.UniqueConstraint("run", "n", name="uq_task_run_run_n"),
        mysql_charset="utf8mb4",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_task_run_name_id", "task_run", ["name", "id"], unique=False)
    op.create_index("ix_task_run_seen_at", "task_run", ["seen_at"], unique=False)
    op.create_index("ix_task_run_task_id", "task_run", ["task_id"], unique=False)
    op.create_index("ix_task_run_state_id", "task_run", ["state", "id"], unique=False)
    op.create_table(
        "queue_pause",
        sa.Column("queue", binary_string(40), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("paused_by", BigId, nullable=True),
        sa.Column("paused_at", UtcDateTime(), nullable=False),
        sa.Column("passes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("queue", name="pk_queue_pause"),
        mysql_charset="utf8mb4",
    )
    # At the end of the row and without a default: MySQL does it at once, whatever stands there.
    for table in _ASKED_FOR:
        op.add_column(table, sa.Column("request_id", binary_string(64), nullable=True))


def downgrade() -> None:
    """Undo."""
    for table in _ASKED_FOR:
        op.drop_column(table, "request_id")
    op.drop_table("queue_pause")
    op.drop_table("task_run")
