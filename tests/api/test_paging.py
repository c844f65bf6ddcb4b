from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from api import errors
from api.paging import BadCursor, Paging, decode_cursor, encode_cursor

ROWS = [9, 7, 4, 2]


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = FastAPI()
    errors.install(app)

    @app.get("/rows/")
    async def rows(page: Paging, q: str = "") -> list[int]:
        found = [row for row in ROWS if page.below is None or row < page.below]
        return list(page.show(found[: page.fetch], key=lambda row: row))

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def test_page_names_the_next_one_until_the_last(client: httpx.AsyncClient) -> None:
    first = await client.get("/rows/?limit=2")
    second = await client.get(first.links["next"]["url"])

    assert (first.json(), second.json()) == ([9, 7], [4, 2])
    assert "link" not in second.headers


async def test_next_page_keeps_the_question(client: httpx.AsyncClient) -> None:
    first = await client.get("/rows/", params={"q": "a&b=ü", "limit": "1"})

    asked = urlsplit(first.links["next"]["url"])
    assert asked.netloc == ""
    assert parse_qs(asked.query) == {"q": ["a&b=ü"], "limit": ["1"], "cursor": [encode_cursor(9)]}


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1000000000", "1.5", "", "ten", "\uff11"])
async def test_limit_out_of_range_is_refused(client: httpx.AsyncClient, limit: str) -> None:
    answer = await client.get("/rows/", params={"limit": limit})

    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.json()["errors"][0]["field"] == "limit"


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "garbage",
        "17",
        "é",
        "=",
        "\x00",
        "x" * 10_000,
        encode_cursor(17) + "=",
        encode_cursor(17) + " ",
        encode_cursor(0),
        encode_cursor(-1),
        encode_cursor(2**63),
        "YmVsb3c6MDE3",  # below:017
        "YmVsb3c6wrI",  # below:² - a digit that is no number
        "YWJvdmU6MTc",  # above:17
    ],
)
async def test_cursor_that_we_never_gave_out_is_refused(
    client: httpx.AsyncClient, cursor: str
) -> None:
    answer = await client.get("/rows/", params={"cursor": cursor})

    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.json()["code"] == "bad_cursor"
    assert answer.json()["errors"][0]["field"] == "cursor"


@given(st.integers(1, 2**63 - 1))
def test_cursor_tells_its_key(key: int) -> None:
    assert decode_cursor(encode_cursor(key)) == key


@given(st.text(max_size=60))
def test_only_our_own_spelling_of_a_cursor_counts(cursor: str) -> None:
    try:
        key = decode_cursor(cursor)
    except BadCursor:
        return

    assert encode_cursor(key) == cursor
