from datetime import UTC, datetime, timedelta

import pytest

from accounts import signin, tokens, users
from accounts.callers import identify
from accounts.passwords import Passwords
from accounts.signin import BadCredentials, Gate
from accounts.tokens import Signing, TokenExpired, TokenRevoked
from infra.db import Database, transact

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
GATE = Gate(Passwords(), Signing(secret="a-signing-key-of-forty-characters-or-so!"))


@pytest.fixture
def ada(sqlite_database: Database) -> int:
    hashed = GATE.passwords.hash("correct horse")
    return transact(
        sqlite_database.sessions,
        lambda session: users.register(
            session, email="ada@example.com", name="Ada", password_hash=hashed
        ),
    ).id


def sign_in(database: Database, email: str, password: str) -> str:
    issued = signin.sign_in(database.reads, GATE, email=email, password=password, now=NOON)
    return issued.access_token


def test_right_password_gives_a_token(sqlite_database: Database, ada: int) -> None:
    token = sign_in(sqlite_database, "Ada@example.com", "correct horse")

    assert tokens.read(GATE.signing, token, now=NOON).user_id == ada


@pytest.mark.parametrize(
    ("email", "password"),
    [
        pytest.param("ada@example.com", "wrong horse", id="wrong password"),
        pytest.param("bob@example.com", "correct horse", id="unknown user"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_wrong_credentials_are_told_alike(
    sqlite_database: Database, ada: int, email: str, password: str
) -> None:
    with pytest.raises(BadCredentials, match=r"^The e-mail address or the password is wrong\.$"):
        sign_in(sqlite_database, email, password)


def test_nobody_signs_in_as_the_demo_admin(sqlite_database: Database) -> None:
    transact(sqlite_database.sessions, users.ensure_demo_admin)

    with pytest.raises(BadCredentials):
        sign_in(sqlite_database, "demo@tradepost.local", "")


def test_sign_out_ends_this_token_only(sqlite_database: Database, ada: int) -> None:
    ended = sign_in(sqlite_database, "ada@example.com", "correct horse")
    kept = sign_in(sqlite_database, "ada@example.com", "correct horse")

    transact(
        sqlite_database.sessions,
        lambda session: signin.sign_out(session, GATE.signing, ended, now=NOON),
    )

    with sqlite_database.reads() as session:
        assert identify(session, GATE.signing, kept, now=NOON).user_id == ada
        with pytest.raises(TokenRevoked):
            identify(session, GATE.signing, ended, now=NOON)


def test_sign_out_with_an_expired_token_is_refused(sqlite_database: Database, ada: int) -> None:
    token = sign_in(sqlite_database, "ada@example.com", "correct horse")

    with pytest.raises(TokenExpired):
        transact(
            sqlite_database.sessions,
            lambda session: signin.sign_out(
                session, GATE.signing, token, now=NOON + timedelta(days=1)
            ),
        )
