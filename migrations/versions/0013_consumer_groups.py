"""What consumer groups have handled, how far they are, and what they put aside."""

import sqlalchemy as sa
from alembic import op

from infra.db import LongText, UtcDateTime, binary_string

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "consumer_inbox",
        sa.Column("consumer_group", binary_string(60), nullable=False),
        sa.Column("topic", binary_string(40), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("subject", binary_string(100), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("handled_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("consumer_group", "topic", "seq", name=op.f("pk_consumer_inbox")),
        mysql_charset="utf8mb4",
    )
    op.create_index(
        op.f("ix_consumer_inbox_consumer_group_topic_subject_version"),
        "consumer_inbox",
        ["consumer_group", "topic", "subject", "version"],
    )
    op.create_table(
        "consumer_place",
        sa.Column("consumer_group", binary_string(60), nullable=False),
        sa.Column("topic", binary_string(40), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("floor", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("seq_epoch", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("consumer_group", "topic", name=op.f("pk_consumer_place")),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "consumer_dead_letter",
        sa.Column("consumer_group", binary_string(60), nullable=False),
        sa.Column("topic", binary_string(40), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("subject", binary_string(100), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("behind", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(500), nullable=False),
        sa.Column("cloud_event", LongText, nullable=False),
        sa.Column("parked_at", UtcDateTime(), nullable=False),
        sa.Column("replay_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint(
            "consumer_group", "topic", "seq", name=op.f("pk_consumer_dead_letter")
        ),
        mysql_charset="utf8mb4",
    )
    op.create_index(
        op.f("ix_consumer_dead_letter_consumer_group_topic_subject_version"),
        "consumer_dead_letter",
        ["consumer_group", "topic", "subject", "version"],
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("consumer_dead_letter")
    op.drop_table("consumer_place")
    op.drop_table("consumer_inbox")
