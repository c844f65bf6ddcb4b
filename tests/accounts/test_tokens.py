from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import sqlalchemy as sa

from accounts import tokens
from accounts.tables import RevokedToken
from accounts.tokens import BadToken, Claims, Signing, TokenExpired
from infra.db import Database, transact

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SIGNING = Signing(secret="0123456789abcdef" * 4)
SOUND: dict[str, Any] = {
    "sub": "7",
    "jti": "0123456789abcdef",
    "iat": NOON,
    "nbf": NOON,
    "exp": NOON + timedelta(hours=1),
    "iss": "tradepost",
    "aud": "tradepost-api",
}


def forge(changes: dict[str, Any], *, key: str = SIGNING.secret, algorithm: str = "HS256") -> str:
    claims = {name: value for name, value in {**SOUND, **changes}.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm)


def test_token_tells_its_user_and_its_end() -> None:
    issued = tokens.issue(SIGNING, user_id=7, now=NOON)

    claims = tokens.read(SIGNING, issued.access_token, now=NOON)

    assert claims.user_id == 7
    assert claims.expires_at == NOON + timedelta(hours=1)
    assert issued.expires_in_s == 3600


def test_two_tokens_have_two_ids() -> None:
    first, second = (
        tokens.read(SIGNING, tokens.issue(SIGNING, user_id=7, now=NOON).access_token, now=NOON)
        for _ in range(2)
    )

    assert first.jti != second.jti


def test_token_counts_until_its_last_second() -> None:
    token = tokens.issue(SIGNING, user_id=7, now=NOON).access_token

    assert tokens.read(SIGNING, token, now=NOON + timedelta(minutes=59, seconds=59)).user_id == 7
    with pytest.raises(TokenExpired):
        tokens.read(SIGNING, token, now=NOON + timedelta(hours=1))


def test_token_of_tomorrow_does_not_count_today() -> None:
    token = tokens.issue(SIGNING, user_id=7, now=NOON + timedelta(days=1)).access_token

    with pytest.raises(BadToken):
        tokens.read(SIGNING, token, now=NOON)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("garbage", id="garbage"),
        pytest.param("a.b.c", id="three parts of garbage"),
        pytest.param("é" * 40, id="not ASCII"),
        pytest.param("x" * 100_000, id="huge"),
        pytest.param(forge({}, key="another-signing-key-of-forty-characters!"), id="other key"),
        pytest.param(forge({}, key="", algorithm="none"), id="algorithm none"),
        pytest.param(forge({}, algorithm="HS512"), id="other algorithm"),
        pytest.param(forge({"iss": "elsewhere"}), id="other issuer"),
        pytest.param(forge({"aud": "another-api"}), id="other audience"),
        pytest.param(forge({"sub": "admin"}), id="subject is not an id"),
        pytest.param(forge({"sub": "-7"}), id="subject is negative"),
        pytest.param(forge({"sub": "\u0667"}), id="subject in other digits"),
        pytest.param(forge({"sub": str(2**63)}), id="subject beyond the ids"),
        *(pytest.param(forge({name: None}), id=f"without {name}") for name in SOUND),
    ],
)
def test_token_that_is_not_ours_is_refused(token: str) -> None:
    with pytest.raises(BadToken):
        tokens.read(SIGNING, token, now=NOON)


def test_every_cut_of_a_token_is_refused() -> None:
    token = tokens.issue(SIGNING, user_id=7, now=NOON).access_token

    for length in range(len(token)):
        with pytest.raises(BadToken):
            tokens.read(SIGNING, token[:length], now=NOON)


def test_secret_is_not_shown() -> None:
    issued = tokens.issue(SIGNING, user_id=7, now=NOON)

    assert SIGNING.secret not in repr(SIGNING)
    assert issued.access_token not in repr(issued)


def test_ended_token_stays_ended_when_ended_twice(each_database: Database) -> None:
    claims = Claims(user_id=7, jti="abc", expires_at=NOON + timedelta(hours=1))

    for _ in range(2):
        transact(each_database.sessions, lambda session: tokens.revoke(session, claims, now=NOON))

    with each_database.reads() as session:
        assert tokens.is_revoked(session, claims)


def test_ids_of_ended_tokens_tell_capitals_apart(each_database: Database) -> None:
    ended = Claims(user_id=7, jti="abc", expires_at=NOON + timedelta(hours=1))
    other = Claims(user_id=7, jti="ABC", expires_at=NOON + timedelta(hours=1))

    transact(each_database.sessions, lambda session: tokens.revoke(session, ended, now=NOON))

    with each_database.reads() as session:
        assert not tokens.is_revoked(session, other)


def test_rows_of_tokens_that_have_expired_are_removed(each_database: Database) -> None:
    old = Claims(user_id=7, jti="old", expires_at=NOON + timedelta(hours=1))
    new = Claims(user_id=7, jti="new", expires_at=NOON + timedelta(hours=3))
    transact(each_database.sessions, lambda session: tokens.revoke(session, old, now=NOON))

    later = NOON + timedelta(hours=2)
    transact(each_database.sessions, lambda session: tokens.revoke(session, new, now=later))

    with each_database.reads() as session:
        assert list(session.scalars(sa.select(RevokedToken.jti))) == ["new"]
