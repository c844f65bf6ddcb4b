from datetime import UTC, datetime, timedelta

import pytest

from accounts import tokens, users
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
def token(user_id: int) -> str:
    return tokens.issue(SIGNING, user_id=user_id, now=NOON).access_token


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

    with each_database.reads() as session:
        now = clock.now(session)
        fresh, old = (
            tokens.issue(SIGNING, user_id=made.id, now=instant).access_token
            for instant in (now, now - timedelta(days=1))
        )

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


def test_ended_token_does_not_count(sqlite_database: Database, token: str) -> None:
    claims = tokens.read(SIGNING, token, now=NOON)
    transact(sqlite_database.sessions, lambda session: tokens.revoke(session, claims, now=NOON))

    with pytest.raises(TokenRevoked):
        identified(sqlite_database, token)


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
