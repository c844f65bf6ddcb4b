from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from fastapi import Request
from pydantic import SecretStr
from sqlalchemy.orm import Session, sessionmaker

from accounts.tokens import Signing
from accounts.users import DEMO_ADMIN
from api import access
from api.access import check_start, is_from_loopback
from infra.errors import Misconfigured
from infra.settings import AuthMode, Settings
from tests.api.conftest import Api, Person, register

STRONG = "3f9c1e7a5b2d8046f1e3c5a79b0d2846"
LOCAL: dict[str, Any] = {
    "type": "http",
    "client": ("127.0.0.1", 50000),
    "server": ("127.0.0.1", 8012),
    "headers": [(b"host", b"localhost:8012")],
}


def request_with(*headers: tuple[str, str], **changes: object) -> dict[str, Any]:
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {**LOCAL, "headers": sent, **changes}


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(LOCAL, id="curl"),
        pytest.param(request_with(("host", "127.0.0.1:8012")), id="by address"),
        pytest.param(
            request_with(("host", "[::1]:8012"), client=("::1", 1), server=("::1", 8012)),
            id="IPv6",
        ),
        pytest.param(request_with(("host", "LOCALHOST")), id="no port"),
        pytest.param(
            request_with(("host", "localhost:8012"), ("origin", "http://127.0.0.1:5173")),
            id="a page of this machine",
        ),
    ],
)
def test_request_of_this_machine_is_from_loopback(scope: dict[str, Any]) -> None:
    assert is_from_loopback(scope)


HOST = ("host", "localhost:8012")


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param({**LOCAL, "client": ("192.0.2.7", 1)}, id="client elsewhere"),
        pytest.param({**LOCAL, "server": ("192.0.2.7", 8012)}, id="asked at another address"),
        pytest.param({**LOCAL, "client": None}, id="client unknown"),
        pytest.param({**LOCAL, "client": ("localhost", 1)}, id="client is a name"),
        pytest.param({**LOCAL, "server": ("/run/api.sock", None)}, id="Unix socket"),
        pytest.param(request_with(HOST, ("forwarded", "for=127.0.0.1")), id="Forwarded"),
        pytest.param(request_with(HOST, ("x-forwarded-for", "127.0.0.1")), id="X-Forwarded-For"),
        pytest.param(request_with(HOST, ("x-forwarded-proto", "")), id="X-Forwarded-Proto"),
        pytest.param(request_with(HOST, ("via", "1.1 proxy")), id="Via"),
        pytest.param(request_with(HOST, ("x-real-ip", "127.0.0.1")), id="X-Real-IP"),
        pytest.param(request_with(), id="no Host"),
        pytest.param(request_with(("host", "evil.example")), id="rebound name"),
        pytest.param(request_with(("host", "localhost.evil.example")), id="name that begins well"),
        pytest.param(request_with(("host", "localhost@evil.example")), id="name after an @"),
        pytest.param(request_with(("host", "[::1")), id="broken Host"),
        pytest.param(request_with(HOST, ("host", "evil.example")), id="two Hosts"),
        pytest.param(request_with(HOST, ("origin", "http://evil.example")), id="another site"),
        pytest.param(request_with(HOST, ("origin", "null")), id="a page without a site"),
    ],
)
def test_request_with_anything_foreign_is_not_from_loopback(scope: dict[str, Any]) -> None:
    assert not is_from_loopback(scope)


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


@pytest.mark.parametrize(
    "chosen",
    [
        settings(auth_mode=AuthMode.OPEN),
        settings(auth_mode=AuthMode.OPEN, api_host="::1"),
        settings(secret_key=SecretStr(STRONG)),
        settings(secret_key=SecretStr(STRONG), api_host="0.0.0.0"),  # noqa: S104 - allowed then
    ],
)
def test_sound_settings_start(chosen: Settings) -> None:
    check_start(chosen)


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        (settings(auth_mode=AuthMode.OPEN, api_host="0.0.0.0"), "AUTH_MODE"),  # noqa: S104 - refused
        (settings(auth_mode=AuthMode.OPEN, api_host="tradepost.example"), "AUTH_MODE"),
        (settings(auth_mode=AuthMode.OPEN, secret_key=SecretStr("short")), "SECRET_KEY"),
        (settings(), "SECRET_KEY"),
        (settings(secret_key=SecretStr("x" * 31)), "SECRET_KEY"),
        (settings(secret_key=SecretStr("a" * 64)), "SECRET_KEY"),
        (settings(secret_key=SecretStr("abababab" * 8)), "SECRET_KEY"),
        (settings(secret_key=SecretStr("correct-horse-battery" * 2)), "SECRET_KEY"),
        (settings(secret_key=SecretStr(f"{STRONG},short")), "SECRET_KEY"),
        (settings(secret_key=SecretStr(f"{STRONG},{STRONG}1,{STRONG}2")), "SECRET_KEY"),
    ],
)
def test_settings_that_let_strangers_in_do_not_start(chosen: Settings, named: str) -> None:
    with pytest.raises(Misconfigured, match=f"^{named} ") as refused:
        check_start(chosen)

    assert "x" * 31 not in refused.value.detail


def test_two_secrets_may_follow_each_other() -> None:
    check_start(settings(secret_key=SecretStr(f"{STRONG},{STRONG[::-1]}")))


def whoami(api: Api, headers: Mapping[str, str]) -> httpx.Response:
    with api.client() as client:
        return client.get("/auth/me", headers=headers)


def test_open_mode_takes_a_local_caller_for_the_demo_admin(open_api: Api) -> None:
    answer = whoami(open_api, {})

    assert (answer.json()["id"], answer.json()["role"]) == (DEMO_ADMIN.user_id, "admin")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": "192.0.2.7"},
    ],
)
def test_open_mode_wants_a_token_from_everybody_else(
    open_api: Api, headers: dict[str, str]
) -> None:
    answer = whoami(open_api, headers)

    assert answer.status_code == httpx.codes.UNAUTHORIZED
    assert answer.json()["code"] == "token_required"


def test_open_mode_knows_callers_by_their_token_too(open_api: Api) -> None:
    person = register(open_api)

    answer = whoami(open_api, {"Authorization": f"Bearer {person.token}"})

    assert answer.json()["id"] == person.id


@pytest.mark.parametrize("sent", ["Bearer garbage", "Bearer", "Basic ZGVtbzpkZW1v", "garbage", ""])
def test_credentials_that_do_not_count_are_refused_in_open_mode_too(
    open_api: Api, sent: str
) -> None:
    answer = whoami(open_api, {"Authorization": sent})

    assert answer.status_code == httpx.codes.UNAUTHORIZED
    assert answer.json()["code"] == "token_invalid"
    assert answer.headers["www-authenticate"] == 'Bearer realm="tradepost", error="invalid_token"'


def test_required_mode_knows_nobody_without_a_token(closed_api: Api) -> None:
    answer = whoami(closed_api, {})

    assert answer.status_code == httpx.codes.UNAUTHORIZED
    assert answer.headers["www-authenticate"] == 'Bearer realm="tradepost"'
    assert answer.headers["content-type"] == "application/problem+json"


def test_required_mode_knows_a_caller_by_his_token(closed_api: Api, person: Person) -> None:
    answer = whoami(closed_api, {"Authorization": f"bearer {person.token}"})

    assert answer.json()["email"] == person.email


async def test_open_mode_asks_the_database_nothing_about_a_local_caller() -> None:
    bound_to_nothing: sessionmaker[Session] = sessionmaker()

    caller = await access.resolve(
        Request(LOCAL),
        mode=AuthMode.OPEN,
        reads=bound_to_nothing,
        signing=Signing(secret="x" * 32),
    )

    assert caller == DEMO_ADMIN
