"""A shop with a long past, written by the server itself: a million orders in a minute."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

USERS = 20
PRODUCTS_PER_ORDER = 10
# How many of the orders wait for their payment, whatever the number of all.
DUE = 600
_AT_ONCE = 100_000

_DIGITS = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))
_WITH_IDS = """
    WITH digit AS (DIGITS), ids AS (
        SELECT :first + a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d AS id
        FROM digit a, digit b, digit c, digit d, digit e
    )
""".replace("DIGITS", _DIGITS)
# One statement for each table; ids count from 1 to `:count`.
_ORDERS = """
    INSERT INTO orders (id, user_id, status, currency, subtotal_minor, fee_minor, total_minor,
        refunded_minor, version, idempotency_key, request_hash, created_at, updated_at)
    WITH_IDS SELECT id, 1 + id % :users,
        CASE WHEN id > :count - :due THEN 'pending' WHEN id % 11 = 0 THEN 'refunded'
        ELSE 'completed' END,
        'USD', 5000, 1000, 6000, 0, 1, CONCAT('fill:', id), '', '2026-01-01', '2026-01-01'
    FROM ids WHERE id <= :count
"""
_LINES = """
    INSERT INTO order_line (order_id, n, product_id, name, quantity, unit_price_minor,
        unit_fee_minor)
    WITH_IDS SELECT id, 1, 1, 'A thing', 1, 5000, 1000 FROM ids WHERE id <= :count
"""
_PAYMENTS = """
    INSERT INTO payment (id, order_id, user_id, gateway, amount_minor, currency, token, state,
        due_at, tries, version, created_at, updated_at)
    WITH_IDS SELECT id, id, 1 + id % :users, 'sandbox', 6000, 'USD', 'tok_visa',
        CASE WHEN id > :count - :due THEN 'due' ELSE 'settled' END,
        CASE WHEN id > :count - :due THEN '2026-01-01' END, 0, 1, '2026-01-01', '2026-01-01'
    FROM ids WHERE id <= :count
"""
_ATTEMPTS = """
    INSERT INTO attempt (order_id, n, gateway, `key`, request, state, charge_id, first_sent_at,
        created_at, updated_at)
    WITH_IDS
    SELECT id, 1, 'sandbox', CONCAT(id, '/1'), '{}', 'succeeded', CONCAT('ch_', id), '2026-01-01',
        '2026-01-01', '2026-01-01'
    FROM ids WHERE id <= :count - :due
"""
_REFUNDS = """
    INSERT INTO refund (attempt_id, n, order_id, user_id, gateway, `key`, charge_id, refund_id,
        amount_minor, currency, reason, state, tries, version, created_at, updated_at)
    WITH_IDS
    SELECT attempt.id, 1, attempt.order_id, 1 + attempt.order_id % :users, 'sandbox',
        CONCAT('refund:', attempt.order_id), charge_id, CONCAT('re_', attempt.order_id), 6000,
        'USD', '', 'succeeded', 0, 1, '2026-01-01', '2026-01-01'
    FROM ids JOIN attempt ON attempt.order_id = ids.id WHERE ids.id <= :count AND ids.id % 11 = 0
"""
_EVENTS = """
    INSERT INTO event (topic, subject, version, type, time, data, epoch, seq)
    WITH_IDS SELECT 'orders', CONCAT('orders/', id), 1, 'order.placed', '2026-01-01', '{}', 1, id
    FROM ids WHERE id <= :count
"""
_PRODUCTS = """
    INSERT INTO product (id, name, description, category, image, price_minor, currency, version,
        created_at, updated_at)
    WITH_IDS
    SELECT id, CONCAT('Product ', id), 'Does what it should.', CONCAT('category ', id % 5), '',
        100 + id % 5000, 'USD', 1, '2026-01-01', '2026-01-01'
    FROM ids WHERE id <= :count
"""
_STOCK = """
    INSERT INTO stock (product_id, on_hand, reserved, version, updated_at)
    WITH_IDS
    SELECT id, CASE WHEN id % 100 = 0 THEN 0 ELSE 100 END, 0, 1, '2026-01-01'
    FROM ids WHERE id <= :count
"""


def fill(engine: Engine, count: int) -> None:
    """Write `count` orders of a few users, a tenth as many products, and the orders' events."""
    with engine.begin() as connection:
        for statement in (_PRODUCTS, _STOCK):
            _fill(connection, statement, count // PRODUCTS_PER_ORDER)
    for statement in (_ORDERS, _LINES, _PAYMENTS, _ATTEMPTS, _REFUNDS, _EVENTS):
        with engine.begin() as connection:
            _fill(connection, statement, count)
    with engine.connect() as connection:
        connection.execute(
            sa.text(
                "ANALYZE TABLE orders, order_line, payment, attempt, refund, event, product, stock"
            )
        )


def _fill(connection: Connection, statement: str, count: int) -> None:
    for first in range(0, count, _AT_ONCE):
        values = {"first": first + 1, "count": count, "due": DUE, "users": USERS}
        connection.execute(sa.text(statement.replace("WITH_IDS", _WITH_IDS)), values)
