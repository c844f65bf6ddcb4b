"""What no endpoint should have to think of: odd addresses, methods and headers."""

import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from api.main import create_app
from tests.api.conftest import Api, Person

HUGE = "9" * 400
IDS = ["0", "-1", str(2**63), HUGE, "1.0", "0x1", "1e3", "%00", "1%00", "%31;x", "٣", "null", " 1"]


def ask(api: Api, target: str, *headers: str, method: str = "GET") -> tuple[int, bytes]:
    """Send a request byte by byte as it stands here; give status and body."""
    parts = urlsplit(api.url)
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close", *headers]
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as link:
        link.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        answer = b"".join(iter(lambda: link.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def paths_with_an_id() -> Iterator[str]:
    for path, item in create_app().openapi()["paths"].items():
        if path.endswith("_id}") and "get" in item:
            yield path


@pytest.mark.parametrize("path", list(paths_with_an_id()))
def test_id_that_cannot_be_is_refused_everywhere(closed_api: Api, admin: Person, path: str) -> None:
    stem = path.partition("{")[0]

    with closed_api.client(admin.token) as client:
        answers = {bad: client.get(f"{stem}{bad}") for bad in IDS}

    assert {answer.status_code for answer in answers.values()} <= {404, 422}
    assert {answers[bad].status_code for bad in ("1.0", "٣", " 1")} == {422}
    for answer in answers.values():
        assert answer.headers["content-type"] == "application/problem+json"
        assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "target",
    [
        "/../../etc/passwd",
        "/static-offline-docs/../../pyproject.toml",
        "/static-offline-docs/..%2f..%2fpyproject.toml",
        "/static-offline-docs/%2e%2e/%2e%2e/pyproject.toml",
        "/static-offline-docs/..%5c..%5cpyproject.toml",
        "/static-offline-docs//etc/passwd",
        "/static-offline-docs/%00",
        "/assets/../../../pyproject.toml",
        "/assets/..%2f..%2f..%2fpyproject.toml",
        "/assets/%2e%2e/%2e%2e/%2e%2e/pyproject.toml",
        "/assets//etc/passwd",
        "/assets/%00",
        f"/assets/{'a' * 5000}",
        "//users/",
        "/users//",
        "/USERS/",
        "/users/%2e%2e/audit/",
        "/users;/",
        "/users/\\",
        "/nowhere%00",
        "/%ff%fe",
        "/nowhere?%00=%ff",
        "*",
    ],
)
def test_address_that_is_none_leads_nowhere(closed_api: Api, target: str) -> None:
    status, body = ask(closed_api, target)

    assert status in {400, 401, 404, 405, 422}, body
    assert b"tradepost" not in body.lower()  # a file of ours would name it
    assert b"Traceback" not in body


def test_address_of_another_host_is_only_a_path(closed_api: Api) -> None:
    status, body = ask(
        closed_api, "http://evil.example/auth/ping", "X-Forwarded-Host: evil.example"
    )

    assert status == httpx.codes.OK
    assert b"evil" not in body


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "OPTIONS", "PUT", "DELETE"])
def test_method_that_nobody_serves_is_refused(closed_api: Api, method: str) -> None:
    status, body = ask(closed_api, "/auth/ping", "X-Secret: canary", method=method)

    assert status in {400, 405}
    assert b"canary" not in body  # TRACE would give it back


@pytest.mark.parametrize("path", ["/", "/auth/ping", "/products/", "/users/", "/orders/1"])
def test_head_says_no_more_than_get(closed_api: Api, path: str) -> None:
    status, body = ask(closed_api, path, method="HEAD")

    assert (status, body) == (ask(closed_api, path)[0], b"")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        pytest.param("/events?topics=products", "GET", id="a stream without end"),
        pytest.param("/payments/start", "GET, POST", id="payments"),
        pytest.param("/products/?sync=true", "GET, POST", id="a sync"),
    ],
)
def test_head_starts_nothing(closed_api: Api, path: str, allowed: str) -> None:
    with closed_api.client() as client:
        answer = client.head(path)

    assert (answer.status_code, answer.headers["allow"], answer.content) == (405, allowed, b"")


@pytest.mark.parametrize(
    "name", ["Idempotency-Key", "Last-Event-ID", "Content-Type", "Host", "Stripe-Signature"]
)
def test_header_that_is_meant_once_is_refused_twice(closed_api: Api, name: str) -> None:
    status, body = ask(closed_api, "/auth/ping", f"{name}: a", f"{name.lower()}: b")

    assert status == httpx.codes.BAD_REQUEST
    assert (json.loads(body)["code"], name in body.decode()) == ("repeated_header", True)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([f"X-Request-ID: {'a' * 5000}"], id="long id"),
        pytest.param(["Accept: " + "a/b," * 5000], id="long list"),
        pytest.param(["Range: bytes=0-,0-,0-,0-"], id="ranges"),
        pytest.param(["If-None-Match: " + '"x",' * 2000], id="many tags"),
        pytest.param(["Cookie: " + "a=b;" * 4000], id="cookies"),
        pytest.param(["Content-Encoding: gzip", "Content-Length: 0"], id="gzip of nothing"),
        pytest.param(["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1"], id="a proxy"),
        pytest.param(["Accept-Language: \xff"], id="no text"),
    ],
)
def test_odd_headers_change_nothing(closed_api: Api, headers: list[str]) -> None:
    status, body = ask(closed_api, "/auth/ping", *headers)

    assert (status, body) == (200, b'{"status":"ok","service":"tradepost"}')


def test_escape_in_a_header_is_no_http(closed_api: Api) -> None:
    status, _ = ask(closed_api, "/auth/ping", "X-Request-ID: a\x1b[31mred")

    assert status == httpx.codes.BAD_REQUEST
    assert "\x1b" not in closed_api.log()


@pytest.mark.parametrize(
    "value",
    ["Bearer", "Bearer ", "Bearer a b", "Basic dXNlcjpwYXNz", "bearer\tx", "Bearer " + "x" * 9000,
     "Bearer \xff", "Bearer ..", "Token x", ","],
)  # fmt: skip
def test_credentials_of_another_kind_are_refused(closed_api: Api, value: str) -> None:
    for path in ("/auth/me", "/auth/ping", "/products/", "/events"):
        status, body = ask(closed_api, path, f"Authorization: {value}")
        assert status == (200 if path == "/auth/ping" else 401), (path, body)


def test_two_credentials_are_none(closed_api: Api, person: Person) -> None:
    bearer = f"Authorization: Bearer {person.token}"

    status, _ = ask(closed_api, "/auth/me", bearer, bearer)

    assert status == httpx.codes.UNAUTHORIZED
