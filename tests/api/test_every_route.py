"""Every route, and every topic, as nobody, a stranger, the owner, an operator and an admin.

`ROUTES` has a row for each operation of the OpenAPI document: a new route without one fails.
Each cell is called on things of its own, made for it and owned by the owner.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi.routing import iter_route_contexts
from sqlalchemy.orm import Session

from accounts import families, users
from accounts.tables import Role
from accounts.tokens import Signing
from api.main import create_app
from infra import clock
from infra.db import Database, open_database, transact
from tests.api.conftest import PASSWORD, SECRET_KEY, Api, Starter
from tests.support.processes import eventually
from tests.support.sse import EventStream, is_followed
from workers.topics import TOPICS

METHODS = ("get", "post", "put", "patch", "delete")
# Pages about the API, which FastAPI adds by itself, and the dashboard's page with its files: they
# are the same for everybody and say nothing about anybody.
UNDOCUMENTED = {
    "/openapi.json", "/docs", "/docs/oauth2-redirect", "/static-offline-docs",
    "/app", "/app/{path:path}", "/assets/{path:path}",
}  # fmt: skip
CALLERS = ("nobody", "stranger", "owner", "operator", "admin")
NEVER = 999_999_999
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Person:
    """A user of one cell of the table."""

    id: int
    token: str


class World:
    """Makes what a cell is about."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.database: Database = open_database(api.database_url)
        self.operator = self.person(Role.OPERATOR)
        self.sold = self.product()

    def person(self, role: Role = Role.USER) -> Person:
        """Make a user, without the time that passwords take."""
        email = f"route{next(_numbers)}@example.com"

        def add(session: Session) -> Person:
            made = users.register(session, email=email, name="Ada", password_hash="-", role=role)
            issued = families.begin(
                session, Signing(SECRET_KEY), user_id=made.id, now=clock.now(session)
            )
            return Person(made.id, issued.access_token)

        return transact(self.database.sessions, add)

    def product(self) -> int:
        """Put a product on sale."""
        body = {"name": f"Thing {next(_numbers)}", "price": 5, "quantity": 10_000}
        return self._made("/products/", self.operator, body)

    def order(self, owner: Person) -> int:
        """Order something."""
        return self._made("/orders/", owner, {"id": self.sold, "quantity": 2})

    def payment(self, owner: Person) -> int:
        """Order something and tell the payment's id."""
        query = sa.text("SELECT id FROM payment WHERE order_id = :order_id")
        with self.database.reads() as session:
            order_id = self.order(owner)
            return int(session.execute(query, {"order_id": order_id}).scalar_one())

    def _made(self, path: str, person: Person, body: dict[str, Any]) -> int:
        with self.api.client(person.token) as client:
            answer = client.post(path, json=body)
        assert answer.status_code == httpx.codes.CREATED, answer.text
        made_id: int = answer.json()["id"]
        return made_id


Make = Callable[[World, Person], Any]


def order_id(world: World, owner: Person) -> int:
    return world.order(owner)


def payment_id(world: World, owner: Person) -> int:
    return world.payment(owner)


def product_id(world: World, owner: Person) -> int:
    return world.product()


def user_id(world: World, owner: Person) -> int:
    return owner.id


def symbol(world: World, owner: Person) -> str:
    """Name a symbol that nobody watches."""
    return f"T{next(_numbers)}"


def queue_name(world: World, owner: Person) -> str:
    """Name a queue that is paused, whatever a row before has done to it."""
    with world.api.client(world.operator.token) as client:
        client.post("/queues/market/pause", json={"reason": "a test"})
    return "market"


def body(**fields: Any) -> Make:
    def always(world: World, owner: Person) -> dict[str, Any]:
        return fields

    return always


def named(what: Any) -> Make:
    def always(world: World, owner: Person) -> Any:
        return what

    return always


# The ids that stand in paths, and what they are of.
TARGETS: dict[str, Make] = {
    "order_id": order_id,
    "payment_id": payment_id,
    "product_id": product_id,
    "user_id": user_id,
    "run_id": named(NEVER),
    "gateway": named("sandbox"),
    "name": queue_name,
    "symbol": symbol,
}


@dataclass(frozen=True)
class Row:
    """A call, and the answers it gets: one for all, or one for each of `CALLERS`."""

    call: str
    expected: int | tuple[int, int, int, int, int]
    body: Make | None = None
    query: str = ""
    form: dict[str, str] | None = None

    def answers(self) -> dict[str, int]:
        expected = (self.expected,) * 5 if isinstance(self.expected, int) else self.expected
        return dict(zip(CALLERS, expected, strict=True))


# Who may do what: everybody, whoever signed in, owners with those who run the shop, ...
USERS = (401, 200, 200, 200, 200)
OWNED = (401, 404, 200, 200, 200)
OPERATORS = (401, 403, 403, 200, 200)
ADMINS = (401, 403, 403, 403, 200)
PRIVATE = (401, 404, 200, 404, 200)


def new_user(world: World, owner: Person) -> dict[str, str]:
    return {"email": f"new{next(_numbers)}@example.com", "password": PASSWORD, "name": "Ada"}


def order_for_owner(world: World, owner: Person) -> dict[str, int]:
    return {"id": world.sold, "quantity": 1, "user_id": owner.id}


def amended_items(world: World, owner: Person) -> dict[str, Any]:
    return {"items": [{"product_id": world.sold, "quantity": 1}]}


ROUTES = [
    Row("GET /", 200),
    Row("GET /healthz", 200),
    Row("GET /readyz", 200),
    Row("GET /metrics", 200),
    Row("GET /auth/ping", 200),
    Row("POST /auth/register", 201, body=new_user),
    Row("POST /auth/token", 401, form={"username": "nobody@example.com", "password": "x"}),
    Row("POST /auth/refresh", 401, body=body(refresh_token="garbage")),
    Row("GET /auth/me", USERS),
    Row("POST /auth/logout", (401, 204, 204, 204, 204)),
    Row(
        "POST /auth/password",
        (401, 403, 403, 403, 403),  # signed in, but not knowing the present password
        body=body(current_password="guess", new_password=PASSWORD),
    ),
    Row("GET /users/", ADMINS),
    Row("POST /users/", (401, 403, 403, 403, 201), body=new_user),
    Row("GET /users/{user_id}", PRIVATE),
    Row("PATCH /users/{user_id}", PRIVATE, body=body(name="Grace")),
    Row("DELETE /users/{user_id}", (401, 404, 204, 404, 204)),
    Row("GET /audit/", ADMINS),
    # Reading the market is public: a symbol that cannot be is refused for what it is.
    Row("GET /market/quote", 422, query="?symbol=../.."),
    Row("GET /market/quotes", 422, query="?symbols=../.."),
    Row("GET /market/history", 422, query="?symbol=../.."),
    Row("GET /market/candles", 422, query="?symbol=../.."),
    Row("GET /market/search", 422, query="?q=<"),
    Row("GET /market/status", 200),
    Row("GET /market/watchlist", 200),
    Row("GET /market/watchlist/{symbol}", 404),
    Row("PUT /market/watchlist/{symbol}", (401, 403, 403, 201, 201)),
    Row("DELETE /market/watchlist/{symbol}", (401, 403, 403, 404, 404)),
    Row("GET /market/crypto", 422, query="?symbol=../.."),
    Row("GET /market/company", 422, query="?symbol=../.."),
    Row("GET /market/news", 422, query="?symbol=../.."),
    Row("GET /market/forex", 422, query="?base=../.."),
    Row("GET /products/", 200),
    Row("GET /products/{product_id}", 200),
    Row("POST /products/", (401, 403, 403, 201, 201), body=body(name="Thing", price=1)),
    Row("PUT /products/{product_id}", OPERATORS, body=body(name="Thing", price=1)),
    Row("PATCH /products/{product_id}", OPERATORS, body=body(name="Thing")),
    Row("DELETE /products/{product_id}", (401, 403, 403, 204, 204)),
    Row("GET /products/{product_id}/stock", OPERATORS),
    Row("POST /products/{product_id}/stock", (401, 403, 403, 201, 201),
        body=body(change=1, reason="correction")),
    Row("POST /products/sync", (401, 403, 403, 202, 202)),
    Row("GET /products/syncs", OPERATORS),
    Row("GET /products/sync/{run_id}", (401, 403, 403, 404, 404)),
    Row("POST /orders/", (401, 403, 201, 403, 201), body=order_for_owner),
    Row("GET /orders/", USERS),
    Row("GET /orders/{order_id}", OWNED),
    Row("GET /orders/{order_id}/timeline", OWNED),
    Row("POST /orders/{order_id}/cancel", OWNED),
    Row("DELETE /orders/{order_id}", OWNED),
    Row("PATCH /orders/{order_id}", OWNED, body=amended_items),
    Row("GET /orders/{order_id}/refunds", OWNED),
    # Not paid, so an operator is told that there is nothing to give back.
    Row("POST /orders/{order_id}/refunds", (401, 403, 403, 409, 409), body=body()),
    Row("GET /payments/start", (401, 202, 202, 202, 202)),
    Row("POST /payments/start", (401, 202, 202, 202, 202)),
    Row("GET /payments/held", (401, 403, 403, 200, 200)),
    Row("GET /payments/{payment_id}", OWNED),
    Row("GET /payments/reconciliation", (401, 403, 403, 422, 422), query="?day=tomorrow"),
    # A signature opens it, never a token; here no gateway has a secret to sign with.
    Row("POST /payments/webhooks/{gateway}", 404, body=body()),
    Row("GET /queues", OPERATORS),
    Row("GET /schedule", OPERATORS),
    Row("POST /queues/{name}/pause", OPERATORS, body=body(reason="to see")),
    Row("POST /queues/{name}/canary", (401, 403, 403, 202, 202)),
    Row("POST /queues/{name}/resume", OPERATORS),
    Row("GET /tasks", OPERATORS),
    Row("GET /tasks/{run_id}", (401, 403, 403, 404, 404)),
    Row("POST /tasks/{run_id}/retry", (401, 403, 403, 404, 404)),
    Row("GET /events", 422, query="?topics=nothing"),
    Row("GET /asyncapi", 200),
    Row("GET /asyncapi.json", 200),
    Row("GET /events/history", 200, query="?topic=products"),
    Row("POST /events/tickets", (401, 201, 201, 201, 201)),
]  # fmt: skip

EVERYBODY, SIGNED_IN, STAFF = (200,) * 5, (401, 200, 200, 200, 200), (401, 403, 403, 200, 200)
SUBSCRIBERS = {
    "products": EVERYBODY,
    "market.quotes": EVERYBODY,
    "market.companies": EVERYBODY,
    "market.news": EVERYBODY,
    "market.forex": EVERYBODY,
    "market.crypto": EVERYBODY,
    "orders": SIGNED_IN,
    "payments": SIGNED_IN,
    "tasks": STAFF,
}


@pytest.fixture(scope="module")
def world(api_of: Starter) -> Iterator[World]:
    made = World(api_of("required"))
    eventually(lambda: is_followed(made.api.url), what="the API follows the streams")
    yield made
    made.database.engine.dispose()


def document_calls() -> set[str]:
    return {
        f"{method.upper()} {path}"
        for path, item in create_app().openapi()["paths"].items()
        for method in item
        if method in METHODS
    }


def send(world: World, row: Row, name: str) -> httpx.Response:
    owner = world.person()
    callers: dict[str, Callable[[], Person]] = {
        "stranger": world.person,
        "owner": lambda: owner,
        "operator": lambda: world.person(Role.OPERATOR),
        "admin": lambda: world.person(Role.ADMIN),
    }
    method, _, path = row.call.partition(" ")
    found = {key: make(world, owner) for key, make in TARGETS.items() if f"{{{key}}}" in path}
    return _call(world, row, method, path.format(**found), callers.get(name), owner)


def _call(
    world: World,
    row: Row,
    method: str,
    path: str,
    caller: Callable[[], Person] | None,
    owner: Person,
) -> httpx.Response:
    made = row.body(world, owner) if row.body else None
    with world.api.client(caller().token if caller else None) as client:
        return client.request(method, path + row.query, json=made, data=row.form)


def test_every_route_has_one_row() -> None:
    rows = [row.call for row in ROUTES]

    assert sorted(rows) == sorted(document_calls())


def test_document_asks_for_a_token_where_the_call_does() -> None:
    document = create_app().openapi()
    asking = {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if operation.get("security") and {} not in operation["security"]
    }

    refusing = {
        row.call
        for row in ROUTES
        if row.answers()["nobody"] == 401 and row.answers()["admin"] != 401
    }

    assert asking == refusing


def test_nothing_is_served_beside_the_document() -> None:
    documented = {call.partition(" ")[2] for call in document_calls()}

    found = (context.path for context in iter_route_contexts(create_app().routes))
    served = {path for path in found if path is not None}  # the directory has none, only routes

    assert served - documented <= UNDOCUMENTED


@pytest.mark.parametrize("row", ROUTES, ids=lambda row: row.call)
def test_route_answers_each_caller_as_it_should(world: World, row: Row) -> None:
    answers = {name: send(world, row, name) for name in CALLERS}

    assert {name: got.status_code for name, got in answers.items()} == row.answers(), {
        name: got.text[:200] for name, got in answers.items()
    }
    for got in answers.values():
        if got.is_error:
            assert got.headers["content-type"] == "application/problem+json"
            assert got.json()["code"]


@pytest.mark.parametrize(
    "row", [row for row in ROUTES if row.answers()["stranger"] == 404], ids=lambda row: row.call
)
def test_anothers_thing_is_as_unknown_as_none(world: World, row: Row) -> None:
    method, _, path = row.call.partition(" ")
    nothing = path.format(**dict.fromkeys(TARGETS, NEVER))

    anothers = send(world, row, "stranger").json()
    none = _call(world, row, method, nothing, world.person, world.person()).json()

    assert anothers.keys() == none.keys()
    assert (anothers["code"], anothers["title"]) == (none["code"], none["title"])


@pytest.mark.parametrize("topic", TOPICS)
def test_topic_is_open_to_whom_it_concerns(world: World, topic: str) -> None:
    callers = {
        "nobody": None,
        "stranger": world.person().token,
        "owner": world.person().token,
        "operator": world.operator.token,
        "admin": world.person(Role.ADMIN).token,
    }
    got = []
    for token in callers.values():
        with EventStream(world.api.url, topics=topic, token=token) as stream:
            got.append(stream.status)

    assert tuple(got) == SUBSCRIBERS[topic]


def test_lists_hold_ones_own_orders_only(world: World) -> None:
    owner, stranger = world.person(), world.person()
    placed = world.order(owner)

    with world.api.client(owner.token) as client:
        own = client.get("/orders/").json()
    with world.api.client(stranger.token) as client:
        anothers = client.get("/orders/").json()

    assert [order["id"] for order in own] == [placed]
    assert anothers == []


def test_anothers_idempotency_key_gives_nothing_of_his_away(world: World) -> None:
    owner, stranger, product = world.person(), world.person(), world.sold
    orders = []
    for person in (owner, stranger):
        headers = {"Idempotency-Key": f"key-of-{owner.id}"}
        with world.api.client(person.token, **headers) as client:
            orders.append(client.post("/orders/", json={"id": product}).json())

    assert orders[0]["id"] != orders[1]["id"]
    assert [order["user_id"] for order in orders] == [owner.id, stranger.id]


@pytest.mark.parametrize("name", ["nobody", "stranger"])
def test_only_operators_make_a_list_wait_for_a_sync(world: World, name: str) -> None:
    answer = send(world, Row("GET /products/", 403, query="?sync=true"), name)

    assert answer.status_code == httpx.codes.FORBIDDEN
