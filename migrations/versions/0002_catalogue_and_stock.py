"""Catalogue and stock: pinned prices, sort orders, stock movements, what is known of the feed."""

import sqlalchemy as sa
from alembic import op

from infra.db import BigId, LongText, UtcDateTime, binary_string

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_PRODUCT_INDEXES = (
    ["withdrawn_at", "id"],
    ["withdrawn_at", "price_minor", "id"],
    ["withdrawn_at", "name", "id"],
    ["withdrawn_at", "category", "id"],
)


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "product",
        sa.Column("price_pinned", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    for columns in _PRODUCT_INDEXES:
        op.create_index(f"ix_product_{'_'.join(columns)}", "product", columns, unique=False)
    op.drop_index("ix_product_category", table_name="product")
    op.add_column(
        "sync_run", sa.Column("dry_run", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("sync_run", sa.Column("lease_token", binary_string(36), nullable=True))
    op.add_column("sync_run", sa.Column("details", LongText, nullable=True))
    op.create_table(
        "feed_state",
        sa.Column("feed", binary_string(64), nullable=False),
        sa.Column("etag", sa.String(length=300), nullable=True),
        sa.Column("last_modified", sa.String(length=100), nullable=True),
        sa.Column("edits", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("feed", name="pk_feed_state"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "stock_movement",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("product_id", BigId, nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("reason", binary_string(20), nullable=False),
        sa.Column("note", sa.String(length=500), nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("on_hand", sa.BigInteger(), nullable=False),
        sa.Column("idempotency_key", binary_string(255), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"], ["product.id"], name="fk_stock_movement_product_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_stock_movement"),
        sa.UniqueConstraint(
            "user_id", "idempotency_key", name="uq_stock_movement_user_id_idempotency_key"
        ),
        mysql_charset="utf8mb4",
    )
    op.create_index(
        "ix_stock_movement_product_id_id", "stock_movement", ["product_id", "id"], unique=False
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("stock_movement")
    op.drop_table("feed_state")
    op.drop_column("sync_run", "details")
    op.drop_column("sync_run", "lease_token")
    op.drop_column("sync_run", "dry_run")
    op.create_index("ix_product_category", "product", ["category"], unique=False)
    for columns in _PRODUCT_INDEXES:
        op.drop_index(f"ix_product_{'_'.join(columns)}", table_name="product")
    op.drop_column("product", "price_pinned")
