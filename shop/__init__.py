"""Business: products, stock, orders, payments, refunds, gateways and the supplier feed."""
