"""The shop's topics on the event streams, and the kinds of events on them."""

from infra.events.kinds import Kind, kinds
from shop.payloads import OrderData, PaymentData, ProductData, RefundData, StockData

ORDERS = "orders"
PAYMENTS = "payments"
PRODUCTS = "products"
TOPICS = (ORDERS, PAYMENTS, PRODUCTS)

KINDS: tuple[Kind, ...] = (
    *kinds(ORDERS, "orders", OrderData, {
        "order.placed": "An order was accepted, its stock is held.",
        "order.paid": "The money has been taken.",
        "order.completed": "The goods have left.",
        "order.payment_failed": "Declined, or never charged; the stock is free again.",
        "order.payment_unknown": "Nobody knows yet whether the money was taken.",
        "order.updated": "Items or refunded amount have changed.",
        "order.expired": "Never paid, and no longer held.",
        "order.cancelled": "Cancelled before it was paid.",
        "order.refunding": "The money is on its way back.",
        "order.refunded": "The money is back.",
    }),
    *kinds(PAYMENTS, "payments", PaymentData, {
        "payment.succeeded": "The gateway has charged.",
        "payment.declined": "The gateway has refused, for good.",
        "payment.unknown": "The gateway's answer is missing; it will be asked.",
        "payment.failed": "The charge never happened.",
        "payment.needs_human": "We cannot find out by ourselves.",
    }),
    *kinds(PAYMENTS, "refunds", RefundData, {
        "refund.succeeded": "The gateway has given the money back.",
        "refund.failed": "The gateway refuses to give the money back.",
    }),
    *kinds(PRODUCTS, "products", ProductData, {
        "product.created": "A product is new in the catalogue.",
        "product.updated": "Catalogue fields have changed.",
        "product.withdrawn": "It is no longer on sale.",
    }),
    *kinds(PRODUCTS, "stock", StockData, {
        "stock.changed": "There is more or less of a product than before.",
        "stock.low": "As little as the threshold, or less, can still be ordered.",
        "stock.out": "Nothing can be ordered any more.",
    }),
)  # fmt: skip
