"""The load: people who order, repeat themselves, change their minds, and talk nonsense."""

import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra.db import Database, transact
from shop import products
from shop.products import Draft
from tests.faults.chaos.journal import Answer, Journal
from tests.faults.chaos.people import Person
from tests.support.http import plain_client

_PATIENCE_S = 8.0
_THINK_S = 0.12
_STOCK = 100_000
_SCARCE = 60
_TOKENS = {
    "tok_visa": 80, "tok_declined": 5, "tok_insufficient_funds": 2, "tok_slow": 3, "tok_hang": 2,
    "tok_500": 3, "tok_webhook_first": 2, "tok_webhook_twice": 2, "tok_webhook_late": 1,
}  # fmt: skip
_SYMBOLS = ("AAPL", "MSFT", "AMZN", "TSLA", "NVDA", "BINANCE:BTCUSDT")
_NONSENSE: tuple[Any, ...] = (
    None, [], {}, "buy", {"id": 1, "quantity": 0}, {"id": 1, "quantity": "1"},
    {"id": 1, "quantity": 2**63}, {"items": []}, {"id": 1, "price": 1}, {"products": [True]},
    {"id": 1, "payment_token": "tok\r\nvisa"}, {"id": 1, "products": [1]}, {"id": 2**62},
)  # fmt: skip


@dataclass(frozen=True)
class Wish:
    """An order as it was asked for."""

    body: dict[str, Any]
    key: str | None


@dataclass
class Shelf:
    """What is on sale, as far as the clients know."""

    product_ids: list[int]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def replace(self, old: int, new: int) -> None:
        """Offer one product in place of another."""
        with self._lock:
            self.product_ids = [new if it == old else it for it in self.product_ids]


class Shopper:
    """One client: a person's requests, one after the other, by a random generator of its own."""

    def __init__(
        self,
        api_url: str,
        buyer: Person,
        operator: Person,
        shelf: Shelf,
        journal: Journal,
        rng: random.Random,
    ) -> None:
        self._http = plain_client(api_url, timeout_s=_PATIENCE_S)
        self._buyer, self._operator = buyer, operator
        self._shelf, self._journal, self._rng = shelf, journal, rng
        self._mine: list[tuple[int, Wish]] = []
        self._habits: dict[Callable[[], None], int] = {
            self._order: 30,
            self._order_with_key: 30,
            self._repeat: 8,
            self._reuse_key: 3,
            self._regret: 10,
            self._cancel: 4,
            self._change: 4,
            self._refund: 6,
            self._look: 6,
            self._talk_nonsense: 4,
            self._withdraw: 1,
            self._quote: 6,
            self._sync: 1,
        }

    def live(self, until: float) -> None:
        """Do one thing after the other until it is late."""
        habits, weights = list(self._habits), list(self._habits.values())
        while time.monotonic() < until:
            self._rng.choices(habits, weights)[0]()
            time.sleep(self._rng.uniform(0, _THINK_S))
        self._http.close()

    def _order(self) -> None:
        self._place(Wish(self._wanted(), None))

    def _order_with_key(self) -> None:
        wish = Wish(self._wanted(), f"key-{uuid.UUID(int=self._rng.getrandbits(128))}")
        for _ in range(5):
            if not self._place(wish).is_lost:
                return
            time.sleep(self._rng.uniform(0.1, 1))

    def _regret(self) -> None:
        """Order and take it back, or something else, before it is paid if that can be."""
        if not self._place(Wish(self._wanted(), None)).is_lost:
            self._rng.choice([self._cancel_last, self._change])()

    def _place(self, wish: Wish) -> Answer:
        self._journal.asked(self._buyer.user_id, wish.key)
        answer = self._ask("POST", "/orders/", json=wish.body, key=wish.key)
        self._journal.placed(self._buyer.user_id, wish.key, answer)
        self._journal.expect(f"order {wish}", answer, 201, 409, 422)
        if answer.status == httpx.codes.CREATED:
            self._mine.append((answer.body["id"], wish))
        return answer

    def _repeat(self) -> None:
        keyed = [wish for _, wish in self._mine if wish.key]
        if keyed:
            wish = self._rng.choice(keyed)
            answer = self._ask("POST", "/orders/", json=wish.body, key=wish.key)
            self._journal.placed(self._buyer.user_id, wish.key, answer)
            self._journal.expect(f"repeated order {wish}", answer, 201)

    def _reuse_key(self) -> None:
        keyed = [wish for _, wish in self._mine if wish.key]
        if keyed:
            wish = self._rng.choice(keyed)
            other = {**wish.body, "payment_token": "tok_another"}
            answer = self._ask("POST", "/orders/", json=other, key=wish.key)
            self._journal.expect(f"key reused {wish}", answer, 422)

    def _cancel_last(self) -> None:
        if self._mine:
            self._cancel_it(self._mine[-1][0])

    def _cancel(self) -> None:
        if order_id := self._recent():
            self._cancel_it(order_id)

    def _cancel_it(self, order_id: int) -> None:
        answer = self._ask("POST", f"/orders/{order_id}/cancel")
        if answer.status == httpx.codes.OK:
            self._journal.cancelled.add(order_id)
        self._journal.expect(f"cancel {order_id}", answer, 200, 409)

    def _change(self) -> None:
        if self._mine:
            order_id = self._mine[-1][0]
            wanted = {self._rng.choice(self._shelf.product_ids): self._rng.randint(1, 3)}
            items = [{"product_id": it, "quantity": count} for it, count in wanted.items()]
            answer = self._ask("PATCH", f"/orders/{order_id}", json={"items": items})
            if answer.status == httpx.codes.OK:
                self._journal.changed[order_id] = wanted
            elif answer.is_lost:
                self._journal.doubted.add(order_id)
            self._journal.expect(f"change {order_id}", answer, 200, 409, 422)

    def _refund(self) -> None:
        if not self._mine:
            return
        order_id, _ = self._rng.choice(self._mine)
        body = {} if self._rng.random() < 0.5 else {"amount": self._rng.randint(1, 30)}
        answer = self._ask("POST", f"/orders/{order_id}/refunds", json=body, by=self._operator)
        if answer.status == httpx.codes.CREATED:
            self._journal.refunds[answer.body["id"]] = answer.body["amount"]
        self._journal.expect(f"refund of {order_id}", answer, 201, 409)

    def _look(self) -> None:
        if order_id := self._recent():
            answer = self._ask("GET", f"/orders/{order_id}")
            self._journal.expect(f"read {order_id}", answer, 200)
        else:
            self._journal.expect("list", self._ask("GET", "/orders/?limit=10"), 200)

    def _talk_nonsense(self) -> None:
        body = self._rng.choice(_NONSENSE)
        self._journal.expect(f"nonsense {body}", self._ask("POST", "/orders/", json=body), 422)

    def _withdraw(self) -> None:
        old = self._rng.choice(self._shelf.product_ids)
        draft = {"name": "Another lamp", "price": 12.5, "quantity": _SCARCE}
        made = self._ask("POST", "/products/", json=draft, by=self._operator)
        if made.status == httpx.codes.CREATED:
            self._shelf.replace(old, made.body["id"])
            gone = self._ask("DELETE", f"/products/{old}", by=self._operator)
            self._journal.expect(f"withdraw {old}", gone, 200, 204, 404)

    def _quote(self) -> None:
        symbol = self._rng.choice(_SYMBOLS)
        answer = self._ask("GET", f"/market/quote?symbol={symbol}")
        # Finnhub tells of what it does not know by zeros: who sends these by mistake is believed.
        self._journal.expect(f"quote of {symbol}", answer, 200, 403, 404)

    def _sync(self) -> None:
        answer = self._ask("POST", "/products/sync", by=self._operator)
        self._journal.expect("sync", answer, 202)

    def _recent(self) -> int | None:
        return self._rng.choice(self._mine[-5:])[0] if self._mine else None

    def _wanted(self) -> dict[str, Any]:
        some = [self._rng.choice(self._shelf.product_ids) for _ in range(self._rng.randint(1, 3))]
        items = [{"product_id": it, "quantity": self._rng.randint(1, 4)} for it in some]
        token = self._rng.choices(list(_TOKENS), list(_TOKENS.values()))[0]
        return {"items": items, "payment_token": token}

    def _ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        key: str | None = None,
        by: Person | None = None,
    ) -> Answer:
        headers = {"Authorization": f"Bearer {(by or self._buyer).access_token}"}
        if key:
            headers["Idempotency-Key"] = key
        try:
            answer = self._http.request(method, path, json=json, headers=headers)
        except httpx.TransportError:
            return self._journal.note(f"{method} {path}", None)
        return self._journal.note(f"{method} {path}", answer)


def put_on_sale(database: Database) -> Shelf:
    """Put products on sale: of most there is enough, of one there is not."""

    def create(session: Any) -> list[int]:
        return [
            products.create(
                session, Draft(f"Lamp {n}", 1999 + n, "USD"), quantity=_SCARCE if n == 0 else _STOCK
            ).product.id
            for n in range(6)
        ]

    return Shelf(transact(database.sessions, create))
