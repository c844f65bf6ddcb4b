"""The first tables: outbox, shop, market, accounts; one stream state per topic."""

import sqlalchemy as sa
from alembic import op

from infra.db import BigId, LongText, UtcDateTime, binary_string

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TOPICS = (
    "orders",
    "payments",
    "products",
    "market.quotes",
    "market.companies",
    "market.news",
    "market.forex",
    "market.crypto",
    "tasks",
)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "company",
        sa.Column("symbol", binary_string(32), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("profile", LongText, nullable=True),
        sa.Column("source", sa.String(length=16), nullable=True),
        sa.Column("fetched_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("symbol", name="pk_company"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "event",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("topic", binary_string(40), nullable=False),
        sa.Column("subject", binary_string(100), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("type", binary_string(40), nullable=False),
        sa.Column("time", UtcDateTime(), nullable=False),
        sa.Column("data", LongText, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sa.UniqueConstraint("topic", "epoch", "seq", name="uq_event_topic_epoch_seq"),
        sa.UniqueConstraint("topic", "subject", "version", name="uq_event_topic_subject_version"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_event_time", "event", ["time"], unique=False)
    op.create_index("ix_event_topic_seq", "event", ["topic", "seq"], unique=False)
    op.create_table(
        "forex_rate",
        sa.Column("base", binary_string(8), nullable=False),
        sa.Column("currency", binary_string(8), nullable=False),
        sa.Column("rate", sa.String(length=40), nullable=False),
        sa.Column("provider_time", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("base", "currency", name="pk_forex_rate"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "forex_table",
        sa.Column("base", binary_string(8), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=True),
        sa.Column("via", sa.String(length=32), nullable=True),
        sa.Column("provider_time", UtcDateTime(), nullable=True),
        sa.Column("fetched_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("base", name="pk_forex_table"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "instrument",
        sa.Column("symbol", binary_string(32), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=True),
        sa.Column("provider_time", UtcDateTime(), nullable=True),
        sa.Column("fetched_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("symbol", name="pk_instrument"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "ledger",
        sa.Column("txn", binary_string(64), nullable=False),
        sa.Column("account", binary_string(40), nullable=False),
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("txn", "account", name="pk_ledger"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_ledger_order_id", "ledger", ["order_id"], unique=False)
    op.create_table(
        "news",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("provider_id", sa.BigInteger(), nullable=False),
        sa.Column("category", sa.String(length=60), nullable=False),
        sa.Column("related", LongText, nullable=False),
        sa.Column("headline", LongText, nullable=False),
        sa.Column("summary", LongText, nullable=False),
        sa.Column("url", LongText, nullable=False),
        sa.Column("image", LongText, nullable=False),
        sa.Column("publisher", LongText, nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("fetched_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_news"),
        sa.UniqueConstraint("provider_id", name="uq_news_provider_id"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "orders",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("status", binary_string(20), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("subtotal_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("idempotency_key", binary_string(255), nullable=False),
        sa.Column("request_hash", binary_string(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.UniqueConstraint("user_id", "idempotency_key", name="uq_orders_user_id_idempotency_key"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_orders_user_id_id", "orders", ["user_id", "id"], unique=False)
    op.create_table(
        "product",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("external_id", binary_string(64), nullable=True),
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("description", LongText, nullable=False),
        sa.Column("category", sa.String(length=120), nullable=False),
        sa.Column("image", sa.String(length=1000), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_product"),
        sa.UniqueConstraint("external_id", name="uq_product_external_id"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_product_category", "product", ["category"], unique=False)
    op.create_table(
        "quote",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("symbol", binary_string(32), nullable=False),
        sa.Column("provider_time", UtcDateTime(), nullable=False),
        sa.Column("price", sa.String(length=40), nullable=False),
        sa.Column("change", sa.String(length=40), nullable=True),
        sa.Column("change_percent", sa.String(length=40), nullable=True),
        sa.Column("high", sa.String(length=40), nullable=False),
        sa.Column("low", sa.String(length=40), nullable=False),
        sa.Column("open", sa.String(length=40), nullable=False),
        sa.Column("previous_close", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("fetched_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quote"),
        sa.UniqueConstraint("symbol", "provider_time", name="uq_quote_symbol_provider_time"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "revoked_token",
        sa.Column("jti", binary_string(36), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("jti", name="pk_revoked_token"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_revoked_token_expires_at", "revoked_token", ["expires_at"], unique=False)
    op.create_table(
        "stream_state",
        sa.Column("topic", binary_string(40), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("next_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", name="pk_stream_state"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "sync_run",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("state", binary_string(16), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("report", LongText, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_sync_run"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_sync_run_state", "sync_run", ["state"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("email", binary_string(254), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("password_hash", binary_string(255), nullable=True),
        sa.Column(
            "role",
            sa.Enum("user", "operator", "admin", name="role", native_enum=False, length=16),
            nullable=False,
        ),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
        mysql_charset="utf8mb4",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "attempt",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("gateway", binary_string(20), nullable=False),
        sa.Column("key", binary_string(64), nullable=False),
        sa.Column("request", LongText, nullable=False),
        sa.Column("state", binary_string(16), nullable=False),
        sa.Column("charge_id", binary_string(100), nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("first_sent_at", UtcDateTime(), nullable=True),
        sa.Column("missing_since", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column(
            "live_order",
            BigId,
            sa.Computed(
                "CASE WHEN state NOT IN ('declined', 'failed') THEN order_id END", persisted=True
            ),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_attempt_order_id"),
        sa.PrimaryKeyConstraint("id", name="pk_attempt"),
        sa.UniqueConstraint("gateway", "charge_id", name="uq_attempt_gateway_charge_id"),
        sa.UniqueConstraint("gateway", "key", name="uq_attempt_gateway_key"),
        sa.UniqueConstraint("live_order", name="uq_attempt_live_order"),
        sa.UniqueConstraint("order_id", "n", name="uq_attempt_order_id_n"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "news_listing",
        sa.Column("feed", binary_string(32), nullable=False),
        sa.Column("news_id", BigId, nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["news_id"], ["news.id"], name="fk_news_listing_news_id"),
        sa.PrimaryKeyConstraint("feed", "news_id", name="pk_news_listing"),
        mysql_charset="utf8mb4",
    )
    op.create_index(
        "ix_news_listing_feed_published_at_news_id",
        "news_listing",
        ["feed", "published_at", "news_id"],
        unique=False,
    )
    op.create_table(
        "order_line",
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("product_id", BigId, nullable=False),
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("unit_price_minor", sa.BigInteger(), nullable=False),
        sa.Column("unit_fee_minor", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_order_line_order_id"),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name="fk_order_line_product_id"),
        sa.PrimaryKeyConstraint("order_id", "n", name="pk_order_line"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "payment",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("gateway", binary_string(20), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("token", binary_string(100), nullable=False),
        sa.Column("state", binary_string(16), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("lease_token", binary_string(36), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("fulfil_at", UtcDateTime(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_payment_order_id"),
        sa.PrimaryKeyConstraint("id", name="pk_payment"),
        sa.UniqueConstraint("order_id", name="uq_payment_order_id"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_payment_due_at_id", "payment", ["due_at", "id"], unique=False)
    op.create_index("ix_payment_fulfil_at_id", "payment", ["fulfil_at", "id"], unique=False)
    op.create_table(
        "reservation",
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("product_id", BigId, nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("state", binary_string(16), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_reservation_order_id"),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name="fk_reservation_product_id"),
        sa.PrimaryKeyConstraint("order_id", "product_id", name="pk_reservation"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "stock",
        sa.Column("product_id", BigId, autoincrement=False, nullable=False),
        sa.Column("on_hand", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("on_hand >= 0", name="ck_stock_on_hand_not_negative"),
        sa.CheckConstraint("reserved <= on_hand", name="ck_stock_reserved_on_hand"),
        sa.CheckConstraint("reserved >= 0", name="ck_stock_reserved_not_negative"),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name="fk_stock_product_id"),
        sa.PrimaryKeyConstraint("product_id", name="pk_stock"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "refund",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("attempt_id", BigId, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("gateway", binary_string(20), nullable=False),
        sa.Column("key", binary_string(64), nullable=False),
        sa.Column("charge_id", binary_string(100), nullable=False),
        sa.Column("refund_id", binary_string(100), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("state", binary_string(16), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("lease_token", binary_string(36), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name="fk_refund_attempt_id"),
        sa.PrimaryKeyConstraint("id", name="pk_refund"),
        sa.UniqueConstraint("attempt_id", "n", name="uq_refund_attempt_id_n"),
        sa.UniqueConstraint("key", name="uq_refund_key"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_refund_due_at_id", "refund", ["due_at", "id"], unique=False)
    op.create_index("ix_refund_order_id", "refund", ["order_id"], unique=False)
    op.bulk_insert(
        sa.table("stream_state", sa.column("topic"), sa.column("epoch"), sa.column("next_seq")),
        [{"topic": topic, "epoch": 1, "next_seq": 1} for topic in TOPICS],
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_refund_order_id", table_name="refund")
    op.drop_index("ix_refund_due_at_id", table_name="refund")
    op.drop_table("refund")
    op.drop_table("stock")
    op.drop_table("reservation")
    op.drop_index("ix_payment_fulfil_at_id", table_name="payment")
    op.drop_index("ix_payment_due_at_id", table_name="payment")
    op.drop_table("payment")
    op.drop_table("order_line")
    op.drop_index("ix_news_listing_feed_published_at_news_id", table_name="news_listing")
    op.drop_table("news_listing")
    op.drop_table("attempt")
    op.drop_table("users")
    op.drop_index("ix_sync_run_state", table_name="sync_run")
    op.drop_table("sync_run")
    op.drop_table("stream_state")
    op.drop_index("ix_revoked_token_expires_at", table_name="revoked_token")
    op.drop_table("revoked_token")
    op.drop_table("quote")
    op.drop_index("ix_product_category", table_name="product")
    op.drop_table("product")
    op.drop_index("ix_orders_user_id_id", table_name="orders")
    op.drop_table("orders")
    op.drop_table("news")
    op.drop_index("ix_ledger_order_id", table_name="ledger")
    op.drop_table("ledger")
    op.drop_table("instrument")
    op.drop_table("forex_table")
    op.drop_table("forex_rate")
    op.drop_index("ix_event_topic_seq", table_name="event")
    op.drop_index("ix_event_time", table_name="event")
    op.drop_table("event")
    op.drop_table("company")
