from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
import redis
from sqlalchemy.orm import Session

from infra.db import Database, transact
from shop import checkout, products
from shop.checkout import Request, Terms
from shop.products import Draft
from tests.support.valkey import Valkey

PlaceOrder = Callable[[], int]


@pytest.fixture
def broker(valkey: Valkey) -> Iterator["redis.Redis"]:
    with valkey.client(db=0) as client:
        yield client


@pytest.fixture
def cache(valkey: Valkey) -> Iterator["redis.Redis"]:
    with valkey.client(db=2) as client:
        yield client


@pytest.fixture
def place_order(database: Database) -> PlaceOrder:
    """Store orders without ringing anybody, as after a crash or with a dead broker."""

    def put_on_sale(session: Session) -> int:
        return products.create(session, Draft("Lamp", 5000, "USD"), quantity=1000).product.id

    product_id = transact(database.sessions, put_on_sale)
    terms = Terms("USD", Decimal("0.20"), "sandbox")

    def place() -> int:
        request = Request(1, {product_id: 1})
        placed = checkout.place(database.sessions, request, terms=terms, idempotency_key=None)
        return int(placed["id"])

    return place
