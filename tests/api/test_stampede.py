"""Many clients want more of one product than there is: exactly what there is gets sold."""

import itertools
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.shopfront import Shopfront, Visitor
from tests.shop.stage import Level
from tests.support.fleet import Fleet
from tests.support.http import persistent_client

pytest_plugins = ("tests.api.shop_fixtures",)

CLIENTS = 50


@pytest.mark.parametrize(
    ("wanted", "stock"), [(200, 50), pytest.param(2000, 500, marks=pytest.mark.proof)]
)
def test_a_stampede_sells_exactly_what_there_is(
    front: Shopfront,
    fleet: Fleet,
    customer: Visitor,
    capsys: pytest.CaptureFixture[str],
    wanted: int,
    stock: int,
) -> None:
    product = front.sell(quantity=stock)
    addresses = (front.api.url, fleet.api(path="/healthz").url)

    begun = time.perf_counter()
    answers = _order_at_once(addresses, customer, product, wanted)
    rate = wanted / (time.perf_counter() - begun)
    with capsys.disabled():
        sys.stdout.write(f"\nstampede: {wanted} orders at {rate:,.0f}/s\n")

    assert answers == Counter({(201, ""): stock, (409, "out_of_stock"): wanted - stock})
    assert front.level(product) == Level(on_hand=stock, reserved=stock)


def _order_at_once(
    addresses: Sequence[str], customer: Visitor, product: int, wanted: int
) -> Counter[tuple[int, str]]:
    """Order one piece again and again from many clients; count the answers."""
    tickets = itertools.count()

    def buy(address: str) -> Counter[tuple[int, str]]:
        seen: Counter[tuple[int, str]] = Counter()
        with persistent_client(address) as client:
            client.headers["Authorization"] = customer.http.headers["Authorization"]
            while next(tickets) < wanted:
                answer = client.post("/orders/", json={"id": product, "quantity": 1})
                # Who waits for the product's row longer than two seconds is to come again.
                while _code(answer) == "in_flight":
                    answer = client.post("/orders/", json={"id": product, "quantity": 1})
                seen[answer.status_code, _code(answer)] += 1
        return seen

    with ThreadPoolExecutor(CLIENTS) as threads:
        shared = itertools.islice(itertools.cycle(addresses), CLIENTS)
        return sum(threads.map(buy, shared), Counter())


def _code(answer: httpx.Response) -> str:
    return "" if answer.is_success else str(answer.json()["code"])
