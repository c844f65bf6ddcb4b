"""The shop's topics on the event streams."""

ORDERS = "orders"
PAYMENTS = "payments"
PRODUCTS = "products"
TOPICS = (ORDERS, PAYMENTS, PRODUCTS)
