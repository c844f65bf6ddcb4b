"""The shapes of what the shop's events carry; the writers' dictionaries are of these types.

Money is in units with at most two decimals, as the API shows it.
"""

from datetime import datetime
from typing import Literal

# Pydantic makes no schema of the standard library's own before Python 3.12.
from typing_extensions import TypedDict


class LineData(TypedDict):
    """One product within an order."""

    product_id: int
    name: str
    quantity: int
    unit_price: float
    unit_fee: float
    line_total: float


class OrderData(TypedDict):
    """An order as it was at this version."""

    id: int
    user_id: int
    status: Literal[
        "pending", "payment_unknown", "paid", "completed", "payment_failed", "expired",
        "cancelled", "refunding", "refunded",
    ]  # fmt: skip
    currency: str
    subtotal: float
    fee: float
    total: float
    refunded: float
    items: list[LineData]
    version: int
    created_at: datetime
    updated_at: datetime


class PaymentData(TypedDict):
    """The payment of one order, with what was known of its newest charge."""

    id: int
    order_id: int
    user_id: int
    gateway: str
    status: str
    outcome: str | None
    amount: float
    currency: str
    charge_id: str | None
    reason: str | None
    version: int
    created_at: datetime
    updated_at: datetime


class RestockData(TypedDict):
    """Goods that come back with a refund."""

    product_id: int
    quantity: int


class RefundData(TypedDict):
    """A refund as it was at this version."""

    id: int
    order_id: int
    user_id: int
    status: str
    amount: float
    currency: str
    reason: str
    restock: list[RestockData]
    version: int
    created_at: datetime
    updated_at: datetime


class ProductData(TypedDict):
    """A product's catalogue fields; how many there are is an aggregate of its own."""

    id: int
    name: str
    price: float
    currency: str
    description: str
    category: str
    image: str
    external_id: str | None
    price_pinned: bool
    withdrawn: bool
    version: int
    created_at: datetime
    updated_at: datetime


class StockData(TypedDict):
    """How much there was of a product; `available` can still be ordered."""

    product_id: int
    on_hand: int
    reserved: int
    available: int
    version: int
    updated_at: datetime
