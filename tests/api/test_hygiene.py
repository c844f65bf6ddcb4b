import base64
import re
from hashlib import sha256

import httpx
import pytest

from tests.api.conftest import Api, Starter

ORIGIN = "https://shop.example.org"


@pytest.fixture(scope="module")
def shared_api(api_of: Starter) -> Api:
    """An API that pages of one other origin may call, with a feed whose address has a login."""
    return api_of(
        "required",
        CORS_ORIGINS=f"{ORIGIN},http://localhost:5173",
        SANDBOX_FEED_URL="http://ada:secret@127.0.0.1:9003/products",
    )


@pytest.mark.parametrize("path", ["/auth/ping", "/nowhere", "/users/", "/docs", "/", "/metrics"])
def test_every_answer_tells_browsers_what_not_to_do(closed_api: Api, path: str) -> None:
    with closed_api.client() as client:
        headers = client.get(path).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers or headers["server"] == "uvicorn"


def test_data_may_load_nothing(closed_api: Api) -> None:
    with closed_api.client() as client:
        policy = client.get("/auth/ping").headers["content-security-policy"]

    assert policy.startswith("default-src 'none';")


@pytest.mark.parametrize("path", ["/docs", "/"])
def test_pages_run_their_own_scripts_only(closed_api: Api, path: str) -> None:
    with closed_api.client(Accept="text/html") as client:
        answer = client.get(path)

    policy = answer.headers["content-security-policy"]
    scripts = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    hashes = [base64.b64encode(sha256(text.encode()).digest()).decode() for text in scripts]
    [allowed] = re.findall(r"script-src ([^;]+);", policy)
    assert allowed.split() == ["'self'", *(f"'sha256-{made}'" for made in hashes)]
    assert "://" not in policy
    assert "img-src 'self' data: https:;" in policy


def test_pictures_may_come_from_beside_a_feed_without_tls(shared_api: Api) -> None:
    with shared_api.client(Accept="text/html") as client:
        policy = client.get("/").headers["content-security-policy"]

    assert [it for it in policy.split("; ") if "://" in it] == [
        "img-src 'self' data: https: http://127.0.0.1:9003"
    ]


def test_no_page_of_another_site_may_read_unless_allowed(closed_api: Api) -> None:
    with closed_api.client(Origin=ORIGIN) as client:
        answer = client.get("/products/999")

    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(("origin", "allowed"), [(ORIGIN, True), ("https://evil.example", False)])
def test_pages_of_listed_origins_may_call(shared_api: Api, origin: str, *, allowed: bool) -> None:
    asks = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,idempotency-key",
    }
    with shared_api.client(Origin=origin) as client:
        asked = client.options("/orders/", headers=asks)
        told = client.get("/auth/ping")

    names = [answer.headers.get("access-control-allow-origin") for answer in (asked, told)]
    assert names == ([origin] * 2 if allowed else [None] * 2)
    assert asked.is_success is allowed
    assert "access-control-allow-credentials" not in told.headers


def test_errors_reach_pages_of_listed_origins_too(shared_api: Api) -> None:
    with shared_api.client(Origin=ORIGIN) as client:
        answer = client.post("/orders/", json={})

    assert answer.status_code == httpx.codes.UNAUTHORIZED
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
