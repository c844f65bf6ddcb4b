from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from accounts import tokens
from accounts.tokens import BadToken, Signing, TokenExpired

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SIGNING = Signing(secret="0123456789abcdef" * 4)
FAMILY = "0123456789abcdef" * 2
SOUND: dict[str, Any] = {
    "sub": "7",
    "sid": FAMILY,
    "iat": NOON,
    "nbf": NOON,
    "exp": NOON + timedelta(hours=1),
    "iss": "tradepost",
    "aud": "tradepost-api",
}


def sign(now: datetime = NOON) -> str:
    return tokens.sign(SIGNING, user_id=7, family_id=FAMILY, now=now)


def forge(changes: dict[str, Any], *, key: str = SIGNING.secret, algorithm: str = "HS256") -> str:
    claims = {name: value for name, value in {**SOUND, **changes}.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm)


def test_token_tells_its_user_its_family_and_its_end() -> None:
    claims = tokens.read(SIGNING, sign(), now=NOON)

    assert (claims.user_id, claims.family_id) == (7, FAMILY)
    assert claims.expires_at == NOON + timedelta(hours=1)


def test_token_counts_until_its_last_second() -> None:
    token = sign()

    assert tokens.read(SIGNING, token, now=NOON + timedelta(minutes=59, seconds=59)).user_id == 7
    with pytest.raises(TokenExpired):
        tokens.read(SIGNING, token, now=NOON + timedelta(hours=1))


def test_token_of_tomorrow_does_not_count_today() -> None:
    token = sign(NOON + timedelta(days=1))

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
        pytest.param(forge({"sid": "short"}), id="family is no id"),
        pytest.param(forge({"sid": 7}), id="family is a number"),
        *(pytest.param(forge({name: None}), id=f"without {name}") for name in SOUND),
    ],
)
def test_token_that_is_not_ours_is_refused(token: str) -> None:
    with pytest.raises(BadToken):
        tokens.read(SIGNING, token, now=NOON)


def test_every_cut_of_a_token_is_refused() -> None:
    token = sign()

    for length in range(len(token)):
        with pytest.raises(BadToken):
            tokens.read(SIGNING, token[:length], now=NOON)


def test_secret_is_not_shown() -> None:
    assert SIGNING.secret not in repr(SIGNING)


def test_token_of_the_secret_before_counts_while_the_new_one_signs() -> None:
    old, new = "old-signing-key-0123456789abcdef", "new-signing-key-0123456789abcdef"
    rotated = Signing(secret=new, previous=(old,))

    before = tokens.sign(Signing(old), user_id=7, family_id=FAMILY, now=NOON)
    after = tokens.sign(rotated, user_id=7, family_id=FAMILY, now=NOON)

    assert [tokens.read(rotated, token, now=NOON).user_id for token in (before, after)] == [7, 7]
    assert tokens.read(Signing(new), after, now=NOON).user_id == 7
    with pytest.raises(BadToken):
        tokens.read(Signing(new), before, now=NOON)
