from datetime import UTC, datetime, timedelta

import pytest

from accounts import families, tokens, users
from accounts.callers import Caller, identify
from accounts.tables import Role
from accounts.tokens import BadToken, Signing, TokenExpired, TokenRevoked
from accounts.users import Changes
from infra import clock
from infra.db import Database, transact

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SIGNING = Signing(secret="a-signing-key-of-forty-characters-or-so!")


@pytest.fixture
def user_id(sqlite_database: Database) -> int:
    return transact(
        sqlite_database.sessions,
        lambda session: users.register(
            session, email="ada@example.com", name="Ada", password_hash="x"
        ),
    ).id


@pytest.fixture
def token(sqlite_database: Database, user_id: int) -> str:
    return token_for(sqlite_database, user_id, now=NOON)


def token_for(database: Database, user_id: int, *, now: datetime) -> str:
    return transact(
        database.sessions,
        lambda session: families.begin(session, SIGNING, user_id=user_id, now=now).access_token,
    )


def identified(database: Database, token: str, *, now: datetime = NOON) -> Caller:
    with database.reads() as session:
        return identify(session, SIGNING, token, now=now)


def test_token_stands_for_its_user(sqlite_database: Database, user_id: int, token: str) -> None:
    assert identified(sqlite_database, token) == Caller(user_id=user_id, role=Role.USER)


def test_time_is_the_databases_unless_told(each_database: Database) -> None:
    made = transact(
        each_database.sessions,
        lambda session: users.register(
            session, email="bob@example.com", name="Bob", password_hash="x"
        ),
    )

    now = transact(each_database.sessions, clock.now)
    fresh, old = (
        token_for(each_database, made.id, now=instant) for instant in (now, now - timedelta(days=1))
    )

    with each_database.reads() as session:
        assert identify(session, SIGNING, fresh).user_id == made.id
        with pytest.raises(TokenExpired):
            identify(session, SIGNING, old)


def test_role_is_the_one_of_now(sqlite_database: Database, user_id: int, token: str) -> None:
    transact(
        sqlite_database.sessions,
        lambda session: users.update(session, user_id, changes=Changes(role=Role.OPERATOR)),
    )

    assert identified(sqlite_database, token).is_operator


def test_token_of_a_deleted_user_does_not_count(
    sqlite_database: Database, user_id: int, token: str
) -> None:
    transact(sqlite_database.sessions, lambda session: users.delete(session, user_id))

    with pytest.raises(BadToken):
        identified(sqlite_database, token)


def test_token_of_a_disabled_user_does_not_count(
    sqlite_database: Database, user_id: int, token: str
) -> None:
    transact(
        sqlite_database.sessions,
        lambda session: users.update(session, user_id, changes=Changes(is_disabled=True)),
    )

    with pytest.raises(BadToken):
        identified(sqlite_database, token)


def test_token_of_an_ended_family_does_not_count(sqlite_database: Database, token: str) -> None:
    claims = tokens.read(SIGNING, token, now=NOON)
    transact(
        sqlite_database.sessions,
        lambda session: families.end(session, claims.family_id, now=NOON),
    )

    with pytest.raises(TokenRevoked):
        identified(sqlite_database, token)


def test_token_with_anothers_family_does_not_count(sqlite_database: Database, token: str) -> None:
    family_id = tokens.read(SIGNING, token, now=NOON).family_id
    bob = transact(
        sqlite_database.sessions,
        lambda session: users.register(
            session, email="bob@example.com", name="Bob", password_hash="x"
        ),
    )
    mixed = tokens.sign(SIGNING, user_id=bob.id, family_id=family_id, now=NOON)

    with pytest.raises(TokenRevoked):
        identified(sqlite_database, mixed)


def test_expired_token_does_not_count(sqlite_database: Database, token: str) -> None:
    with pytest.raises(TokenExpired):
        identified(sqlite_database, token, now=NOON + timedelta(hours=2))


@pytest.mark.parametrize(
    ("role", "is_operator", "is_admin"),
    [(Role.USER, False, False), (Role.OPERATOR, True, False), (Role.ADMIN, True, True)],
)
def test_role_says_what_a_caller_may_do(role: Role, is_operator: bool, is_admin: bool) -> None:  # noqa: FBT001 - a table of expectations
    caller = Caller(user_id=1, role=role)

    assert (caller.is_operator, caller.is_admin) == (is_operator, is_admin)
