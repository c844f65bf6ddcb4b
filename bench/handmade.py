"""What somebody would write by hand: FastAPI, the same statements by the same driver, no layers.

`uvicorn bench.handmade:app`. An order is accepted with the rows, locks and events that ours has;
the caller is known by the same kind of token. With TELL set, a plain Celery task pays each order,
and what became of it goes to callers of `GET /paid` through Redis. What is left out is all that
makes orders safe to repeat, refuse and repair: looking for the first order of a key, running again
after a deadlock, limits on bodies, time and prices, roles and their audit, problems with a code,
request ids, logs and metrics.
"""

import hashlib
import os
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import jwt
import orjson
import redis.asyncio
from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy.engine import Connection

from bench.by_celery import pay_with_word
from infra.db import open_database

CHANNEL = "paid"
_CALLER = (
    "SELECT users.role, f.id FROM users LEFT JOIN token_family f ON f.id = %s"
    " AND f.user_id = users.id AND f.ended_at IS NULL"
    " WHERE users.id = %s AND users.disabled_at IS NULL"
)
_PRODUCT = (
    "SELECT id, name, price_minor, UTC_TIMESTAMP(6) AS now FROM product"
    " WHERE id = %s AND withdrawn_at IS NULL LOCK IN SHARE MODE"
)
_ORDER = (
    "INSERT INTO orders (user_id, status, currency, subtotal_minor, fee_minor, total_minor,"
    " refunded_minor, version, idempotency_key, request_hash, created_at, updated_at)"
    " VALUES (%s, 'pending', 'USD', %s, %s, %s, 0, 1, %s, %s, %s, %s)"
)
_LINE = (
    "INSERT INTO order_line (order_id, n, product_id, name, quantity, unit_price_minor,"
    " unit_fee_minor) VALUES (%s, 1, %s, %s, %s, %s, %s)"
)
_HOLD = (
    "UPDATE stock SET reserved = reserved + %s, version = version + 1, updated_at = %s"
    " WHERE product_id = %s AND on_hand - reserved >= %s"
)
_RESERVE = (
    "INSERT INTO reservation (order_id, product_id, quantity, state) VALUES (%s, %s, %s, 'held')"
)
_STOCK = "SELECT on_hand, reserved, version FROM stock WHERE product_id = %s"
_PAYMENT = (
    "INSERT INTO payment (order_id, user_id, gateway, amount_minor, currency, token, state, due_at,"
    " tries, version, created_at, updated_at)"
    " VALUES (%s, %s, 'sandbox', %s, 'USD', 'tok_visa', 'due', %s, 0, 0, %s, %s)"
)
_EVENTS = (
    "INSERT INTO event (topic, subject, version, type, time, data)"
    " VALUES (%s, %s, %s, %s, %s, %s), (%s, %s, %s, %s, %s, %s)"
)

app = FastAPI()
engine = open_database(os.environ["DATABASE_URL"], pool_size=40).engine


class Item(BaseModel):
    """One product and how many of it."""

    product_id: int
    quantity: int


class OrderIn(BaseModel):
    """What to buy."""

    items: list[Item]


@app.post("/orders/", status_code=201)
def place_order(body: OrderIn, authorization: Annotated[str, Header()]) -> dict[str, Any]:
    """Store an order of one line."""
    secret = os.environ["SECRET_KEY"]
    claims = jwt.decode(
        authorization.removeprefix("Bearer "), secret, ["HS256"], options={"verify_aud": False}
    )
    user_id, item = int(claims["sub"]), body.items[0]
    with engine.connect() as connection:
        if connection.exec_driver_sql(_CALLER, (claims["sid"], user_id)).first() is None:
            raise HTTPException(401)
    with engine.begin() as connection:
        order = _store(connection, user_id, item)
    if "TELL" in os.environ:
        pay_with_word.delay(order["id"])
    return order


def _store(connection: Connection, user_id: int, item: Item) -> dict[str, Any]:
    wanted = item.quantity
    product = connection.exec_driver_sql(_PRODUCT, (item.product_id,)).one()
    now: datetime = product.now
    fee = product.price_minor // 5
    subtotal, fees = wanted * product.price_minor, wanted * fee
    total, key = subtotal + fees, f"auto:{uuid.uuid4()}"
    digest = hashlib.sha256(orjson.dumps(item.model_dump())).hexdigest()
    values = (user_id, subtotal, fees, total, key, digest, now, now)
    order_id = connection.exec_driver_sql(_ORDER, values).lastrowid
    line = (order_id, product.id, product.name, wanted, product.price_minor, fee)
    connection.exec_driver_sql(_LINE, line)
    if not connection.exec_driver_sql(_HOLD, (wanted, now, product.id, wanted)).rowcount:
        raise HTTPException(409)
    connection.exec_driver_sql(_RESERVE, (order_id, product.id, wanted))
    stock = connection.exec_driver_sql(_STOCK, (product.id,)).one()
    level = {
        "product_id": product.id, "on_hand": stock.on_hand, "reserved": stock.reserved,
        "available": stock.on_hand - stock.reserved, "version": stock.version, "updated_at": now,
    }  # fmt: skip
    connection.exec_driver_sql(_PAYMENT, (order_id, user_id, total, now, now, now))
    shown = {
        "id": order_id, "user_id": user_id, "status": "pending", "currency": "USD",
        "subtotal": subtotal / 100, "fee": fees / 100, "total": total / 100, "refunded": 0.0,
        "items": [{
            "product_id": product.id, "name": product.name, "quantity": wanted,
            "unit_price": product.price_minor / 100, "unit_fee": fee / 100,
            "line_total": total / 100,
        }],
        "version": 1, "created_at": now, "updated_at": now,
    }  # fmt: skip
    events = (
        *("orders", f"orders/{order_id}", 1, "order.placed", now, _json(shown)),
        *("products", f"stock/{product.id}", stock.version, "stock.changed", now, _json(level)),
    )
    connection.exec_driver_sql(_EVENTS, events)
    return shown


def _json(shown: dict[str, Any]) -> str:
    return orjson.dumps(shown, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z).decode()


@app.get("/paid")
async def paid() -> StreamingResponse:
    """Stream the ids of orders as they are paid."""
    return StreamingResponse(_words(), media_type="text/event-stream")


async def _words() -> AsyncIterator[bytes]:
    client = redis.asyncio.Redis.from_url(os.environ["BROKER_URL"])
    async with client.pubsub() as words:
        await words.subscribe(CHANNEL)
        async for word in words.listen():
            if word["type"] == "subscribe":
                yield b": ready\n\n"
            if word["type"] == "message":
                yield b'event: order.paid\ndata: {"subject": "orders/%b"}\n\n' % word["data"]
