"""The feed's HTTP interface: the list, single products, and their pictures."""

from hashlib import blake2b
from pathlib import Path

import orjson

from sandbox.faults import FaultBook
from sandbox.feed.picture import draw
from sandbox.standin import Routes, StandIn
from sandbox.wire import JSON, Answer, Refusal, Reply, Request

SHRUNKEN_TO = 5
_FAULTS = ("empty", "shrunken")
_SVG = "image/svg+xml"
# What may have changed a second ago, and what a browser need not ask for again today.
_FRESH = ("cache-control", "no-cache")
_FOR_A_DAY = ("cache-control", "public, max-age=86400")


def build() -> StandIn:
    """Build the feed from the table beside this module."""
    book = FaultBook(_FAULTS, fields=())
    return StandIn(
        name="feed",
        routes=Feed(load_products(), book).routes(),
        book=book,
        wording=lambda refusal: {"error": {"code": refusal.code, "message": refusal.message}},
        too_many=Refusal(429, "rate_limited", "Too many requests.", (("retry-after", "1"),)),
    )


def load_products() -> list[dict[str, object]]:
    """Read the products; a picture's address is told with each answer."""
    table = Path(__file__).with_name("products.json").read_bytes()
    products: list[dict[str, object]] = orjson.loads(table)
    return products


class Feed:
    """Lists products the way FakeStore does."""

    def __init__(self, products: list[dict[str, object]], book: FaultBook) -> None:
        self._products = products
        self._by_id = {str(product["id"]): product for product in products}
        self._book = book

    def routes(self) -> Routes:
        """Return the handlers by path."""
        return {
            "/products": {"GET": self._list_products},
            "/products/{id}": {"GET": self._show_product},
            "/images/{id}": {"GET": self._show_picture},
        }

    async def _list_products(self, request: Request) -> Reply:
        shown = self._products
        if self._book.take(("empty",), request.fields):
            shown = []
        elif self._book.take(("shrunken",), request.fields):
            shown = shown[:SHRUNKEN_TO]
        return _json(request, [_located(product, request) for product in shown])

    async def _show_product(self, request: Request) -> Reply:
        product = self._by_id.get(request.last_segment)
        return _json(request, product and _located(product, request))

    async def _show_picture(self, request: Request) -> Reply:
        product = self._by_id.get(request.last_segment.removesuffix(".svg"))
        if product is None:
            raise Refusal(404, "not_found", "There is no such picture.")
        picture = draw(
            number=int(str(product["id"])),
            title=str(product["title"]),
            category=str(product["category"]),
        )
        return _tagged(request, picture.encode(), _SVG, _FOR_A_DAY)


def _located(product: dict[str, object], request: Request) -> dict[str, object]:
    """Tell where the picture is, under the address by which the feed was reached."""
    host = request.header("host")
    return {**product, "image": f"http://{host}/images/{product['id']}.svg"}


def _json(request: Request, content: object) -> Answer:
    return _tagged(request, orjson.dumps(content), JSON, _FRESH)


def _tagged(request: Request, body: bytes, content_type: str, caching: tuple[str, str]) -> Answer:
    tag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
    headers = (("etag", tag), caching)
    known = [it.strip().removeprefix("W/") for it in request.header("if-none-match").split(",")]
    if tag in known or "*" in known:
        return Answer(304, b"", content_type, headers)
    return Answer(200, body, content_type, headers)
