"""`tradepost seed`: something to look at in an empty shop."""

from secrets import token_urlsafe
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import AsJson, show_json
from infra.settings import load_settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_THINGS = ("Lamp", "Mug", "Notebook", "Backpack", "Kettle", "Blanket", "Radio", "Bicycle bell")
_DOMAIN = "example.com"


def seed(
    products: Annotated[int, typer.Option(help="How many products.", min=0, max=1000)] = 20,
    users: Annotated[int, typer.Option(help="How many customers.", min=0, max=1000)] = 3,
    as_json: AsJson = False,
) -> None:
    """Add made-up products and customers, as far as they are missing; a repeat adds nothing.

    The customers cannot sign in: nobody knows their passwords.
    """
    from infra.db import open_database, transact  # noqa: PLC0415 - slow to import

    settings = load_settings()
    database = open_database(settings.database)
    added = {
        "products": transact(
            database.sessions,
            lambda session: _add_products(session, products, currency=settings.currency),
        ),
        "users": sum(
            transact(database.sessions, lambda session: _add_user(session, n))  # noqa: B023 - runs at once
            for n in range(1, users + 1)
        ),
    }
    if as_json:
        show_json(added)
    else:
        typer.echo(f"Added {added['products']} products and {added['users']} customers.")


def _add_products(session: "Session", count: int, *, currency: str) -> int:
    from shop import products  # noqa: PLC0415 - slow to import
    from shop.products import Draft  # noqa: PLC0415 - as above

    if not products.is_empty(session):
        return 0
    for n in range(count):
        name = f"{_THINGS[n % len(_THINGS)]} {n // len(_THINGS) + 1}"
        draft = Draft(name, 500 + 250 * n, currency, category="made up")
        products.create(session, draft, quantity=100)
    return count


def _add_user(session: "Session", n: int) -> bool:
    from accounts import users  # noqa: PLC0415 - slow to import
    from accounts.passwords import Passwords  # noqa: PLC0415 - as above

    email = f"customer{n}@{_DOMAIN}"
    try:
        users.get_by_email(session, email)
    except users.NoSuchAddress:
        hashed = Passwords().hash(token_urlsafe(32))
        users.register(session, email=email, name=f"Customer {n}", password_hash=hashed)
        return True
    return False
