"""People: families of tokens in place of single ended ones, and the audit log."""

import sqlalchemy as sa
from alembic import op

from infra.db import BigId, UtcDateTime, binary_string

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Access tokens that are about count no longer: they name no family."""
    op.drop_index("ix_revoked_token_expires_at", table_name="revoked_token")
    op.drop_table("revoked_token")
    op.create_table(
        "token_family",
        sa.Column("id", binary_string(32), nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_token_family_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_token_family"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_token_family_user_id", "token_family", ["user_id"], unique=False)
    op.create_table(
        "refresh_token",
        sa.Column("hash", binary_string(64), nullable=False),
        sa.Column("family_id", binary_string(32), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["family_id"],
            ["token_family.id"],
            name="fk_refresh_token_family_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("hash", name="pk_refresh_token"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_refresh_token_family_id", "refresh_token", ["family_id"], unique=False)
    op.create_table(
        "audit_log",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("user_id", BigId, nullable=True),
        sa.Column("action", binary_string(120), nullable=False),
        sa.Column("subject", binary_string(200), nullable=False),
        sa.Column("request_id", binary_string(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_audit_log_user_id_id", "audit_log", ["user_id", "id"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_table("audit_log")
    op.drop_table("refresh_token")
    op.drop_table("token_family")
    op.create_table(
        "revoked_token",
        sa.Column("jti", binary_string(36), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("jti", name="pk_revoked_token"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_revoked_token_expires_at", "revoked_token", ["expires_at"], unique=False)
