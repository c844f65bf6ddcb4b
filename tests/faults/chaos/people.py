"""Those who have an account."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from accounts import families, users
from accounts.tables import Role
from accounts.tokens import Signing
from infra import clock
from infra.db import Database, transact


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in."""

    user_id: int
    access_token: str


def sign_in(database: Database, name: str, role: Role, secret_key: str) -> Person:
    """Make a user who is signed in."""

    def register(session: Session) -> Person:
        user = users.register(
            session, email=f"{name}@example.com", name=name, password_hash="none", role=role
        )
        issued = families.begin(
            session, Signing(secret_key), user_id=user.id, now=clock.now(session)
        )
        return Person(user.id, issued.access_token)

    return transact(database.sessions, register)
