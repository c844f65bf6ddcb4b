from typing import Any

import httpx
import pytest

from tests.api.conftest import PASSWORD, Api, Person, register, sign_in

NEW: dict[str, Any] = {"email": "new@example.com", "password": PASSWORD, "name": "Ada"}


def test_ping_answers(closed_api: Api) -> None:
    with closed_api.client() as client:
        answer = client.get("/auth/ping")

    assert answer.json() == {"status": "ok", "service": "tradepost"}


def test_registered_user_signs_in_and_is_himself(closed_api: Api) -> None:
    with closed_api.client() as client:
        made = client.post("/auth/register", json={**NEW, "email": "Grace@Example.com"})
        token = sign_in(client, "grace@example.com")
        me = client.get("/auth/me", headers={"Authorization": f"Bearer {token}"})

    assert made.status_code == httpx.codes.CREATED
    assert set(made.json()) == {"id", "email", "name", "role", "created_at"}
    assert (made.json()["email"], made.json()["role"]) == ("grace@example.com", "user")
    assert made.json()["created_at"].endswith("Z")
    assert me.json() == made.json()


def test_second_user_of_an_address_is_refused(closed_api: Api, person: Person) -> None:
    with closed_api.client() as client:
        answer = client.post("/auth/register", json={**NEW, "email": person.email.upper()})

    assert answer.status_code == httpx.codes.CONFLICT
    assert answer.json()["code"] == "email_taken"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"password": "9 letters"}, "password", id="short password"),
        pytest.param({"password": "x" * 129}, "password", id="long password"),
        pytest.param({"password": None}, "password", id="null password"),
        pytest.param({"email": "nobody"}, "email", id="no address"),
        pytest.param({"email": "a@example.com\r\nBcc: b@example.com"}, "email", id="header"),
        pytest.param({"email": f"{'a' * 300}@example.com"}, "email", id="long address"),
        pytest.param({"name": " "}, "name", id="empty name"),
        pytest.param({"name": "x" * 101}, "name", id="long name"),
        pytest.param({"name": "Ada\r\nAdmin"}, "name", id="two lines"),
        pytest.param({"name": "Ada\x1b[31m"}, "name", id="terminal escape"),
        pytest.param({"name": "Ada\u202egnp.exe"}, "name", id="turned text"),
        pytest.param({"name": 7}, "name", id="number for a name"),
        pytest.param({"role": "admin"}, "role", id="role of one's choice"),
        pytest.param({"is_admin": True}, "is_admin", id="unknown field"),
    ],
)
def test_registration_that_cannot_be_is_refused_by_its_field(
    closed_api: Api, changes: dict[str, Any], field: str
) -> None:
    with closed_api.client() as client:
        answer = client.post("/auth/register", json={**NEW, **changes})

    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert answer.json()["detail"].startswith(f"{field}: ")


def test_refused_password_is_not_repeated(closed_api: Api) -> None:
    with closed_api.client() as client:
        answer = client.post("/auth/register", json={**NEW, "password": "hunter2"})

    assert answer.json()["errors"] == [
        {"field": "password", "message": "must have 10 to 128 characters"}
    ]
    assert "hunter2" not in answer.text
    assert "hunter2" not in closed_api.log()


def test_token_is_not_to_be_kept_by_a_cache(closed_api: Api, person: Person) -> None:
    with closed_api.client() as client:
        answer = client.post("/auth/token", data={"username": person.email, "password": PASSWORD})

    assert answer.headers["cache-control"] == "no-store"
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("bearer", 3600)


@pytest.mark.parametrize(
    "form",
    [
        {"username": "nobody@example.com", "password": PASSWORD},
        {"username": "\x00", "password": "\x00"},
        {"username": "é" * 1000, "password": "é" * 1000},
    ],
)
def test_wrong_credentials_give_no_token(closed_api: Api, form: dict[str, str]) -> None:
    with closed_api.client() as client:
        answer = client.post("/auth/token", data=form)

    assert answer.status_code == httpx.codes.UNAUTHORIZED
    assert (answer.json()["code"], answer.json()["error"]) == ("bad_credentials", "invalid_grant")


@pytest.mark.parametrize(
    "body",
    [b"", b"username=a", b"username=%ff&password=%ff", b"username=%ed%a0%80&password=x", b"{}"],
)
def test_broken_sign_in_form_is_a_fault_of_the_caller(closed_api: Api, body: bytes) -> None:
    with closed_api.client() as client:
        answer = client.post(
            "/auth/token",
            content=body,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )

    assert answer.is_client_error
    assert answer.headers["content-type"] == "application/problem+json"


def test_signed_out_token_does_not_count_any_more(closed_api: Api) -> None:
    person = register(closed_api)

    with closed_api.client(person.token) as client:
        ended = client.post("/auth/logout")
        afterwards = client.get("/auth/me")
        again = client.post("/auth/logout")

    assert ended.status_code == httpx.codes.NO_CONTENT
    assert afterwards.status_code == httpx.codes.UNAUTHORIZED
    assert afterwards.json()["code"] == "token_revoked"
    assert again.status_code == httpx.codes.NO_CONTENT


def test_nobody_cannot_sign_out(closed_api: Api) -> None:
    with closed_api.client() as client:
        answer = client.post("/auth/logout")

    assert answer.json()["code"] == "token_required"
