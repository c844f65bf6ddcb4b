"""Every bad token that somebody may send, at the door of a running API."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest

from tests.api.conftest import PASSWORD, SECRET_KEY, Api, Person, register, sign_in

NOW = datetime.now(UTC)
Forge = Callable[[dict[str, Any]], str]


def claims_of(person: Person) -> dict[str, Any]:
    known: dict[str, Any] = jwt.decode(person.token, options={"verify_signature": False})
    return known


def signed(claims: dict[str, Any], *, key: str = SECRET_KEY, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key, algorithm=algorithm)


FORGERIES: dict[str, Forge] = {
    "garbage": lambda claims: "garbage",  # noqa: ARG005 - one of several alike
    "two parts": lambda claims: signed(claims).rpartition(".")[0],
    "no signature": lambda claims: signed(claims).rpartition(".")[0] + ".",
    "algorithm none": lambda claims: signed(claims, key="", algorithm="none"),
    "other algorithm": lambda claims: signed(claims, algorithm="HS384"),
    "other key": lambda claims: signed(claims, key="another-signing-key-0123456789abcdef"),
    "expired": lambda claims: signed({**claims, "exp": NOW - timedelta(seconds=1)}),
    "not yet valid": lambda claims: signed({**claims, "nbf": NOW + timedelta(hours=1)}),
    "without end": lambda claims: signed({k: v for k, v in claims.items() if k != "exp"}),
    "another user": lambda claims: signed({**claims, "sub": "1"}),
    "user that never was": lambda claims: signed({**claims, "sub": "999999999"}),
    "sign-in that never was": lambda claims: signed({**claims, "sid": "0" * 32}),
    "other audience": lambda claims: signed({**claims, "aud": "elsewhere"}),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
@pytest.mark.parametrize("call", ["GET /auth/me", "GET /products/", "POST /auth/logout"])
def test_bad_token_is_refused_where_none_is_needed_too(
    closed_api: Api, signed_in: Person, forge: Forge, call: str
) -> None:
    method, path = call.split()
    with closed_api.client(forge(claims_of(signed_in))) as client:
        answer = client.request(method, path)

    # Who signs out with a token of ours gets what he wants, whoever else it names.
    outcome = answer.status_code
    if call.endswith("logout") and forge in _SOUND_BUT_UNKNOWN:
        assert outcome == httpx.codes.NO_CONTENT
        return
    assert outcome == httpx.codes.UNAUTHORIZED
    assert answer.json()["code"] in {"token_invalid", "token_expired", "token_revoked"}
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


_SOUND_BUT_UNKNOWN = [
    FORGERIES[name] for name in ("another user", "user that never was", "sign-in that never was")
]


@pytest.fixture(scope="module")
def signed_in(closed_api: Api) -> Person:
    register(closed_api)  # user 1, if nobody was before
    return register(closed_api)


def test_tokens_of_a_deleted_user_open_nothing(closed_api: Api) -> None:
    person = register(closed_api)
    with closed_api.client(person.token) as client:
        client.delete(f"/users/{person.id}")
        me = client.get("/auth/me")
        orders = client.get("/orders/")
    with closed_api.client() as client:
        again = client.post("/auth/token", data={"username": person.email, "password": PASSWORD})

    assert [answer.status_code for answer in (me, orders, again)] == [401] * 3


def test_refreshing_goes_on_until_a_used_token_comes_back(closed_api: Api) -> None:
    person = register(closed_api)
    with closed_api.client() as client:
        got = client.post("/auth/token", data={"username": person.email, "password": PASSWORD})
        first = {"refresh_token": got.json()["refresh_token"]}
        second = client.post("/auth/refresh", json=first)
        stolen = client.post("/auth/refresh", json=first)
        bearer = {"Authorization": f"Bearer {second.json()['access_token']}"}
        me = client.get("/auth/me", headers=bearer)

    assert second.status_code == httpx.codes.OK
    assert second.headers["cache-control"] == "no-store"
    assert (stolen.status_code, stolen.json()["code"]) == (401, "refresh_token_invalid")
    assert (me.status_code, me.json()["code"]) == (401, "token_revoked")


def test_new_password_ends_other_sign_ins(closed_api: Api) -> None:
    person = register(closed_api)
    with closed_api.client() as client:
        other = sign_in(client, person.email)
    change = {"current_password": PASSWORD, "new_password": f"{PASSWORD}!"}
    with closed_api.client(person.token) as client:
        changed = client.post("/auth/password", json=change)
        wrong = client.post("/auth/password", json=change)
        me = client.get("/auth/me")
    with closed_api.client(other) as client:
        others = client.get("/auth/me")

    assert (changed.status_code, me.status_code) == (204, 200)
    assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_password")
    assert others.json()["code"] == "token_revoked"


def test_locked_account_is_told_when_to_come_again(closed_api: Api) -> None:
    person = register(closed_api)
    form = {"username": person.email, "password": "guess"}
    with closed_api.client() as client:
        tries = [client.post("/auth/token", data=form).status_code for _ in range(10)]
        locked = client.post("/auth/token", data={**form, "password": PASSWORD})

    # An answer that was lost is asked for again, and counted twice.
    assert (tries[0], set(tries) <= {401, 429}) == (401, True)
    assert (locked.status_code, locked.json()["code"]) == (429, "too_many_attempts")
    assert 0 < int(locked.headers["retry-after"]) <= 900
