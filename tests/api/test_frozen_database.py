"""A database that takes connections and says nothing: everybody is answered, no thread is lost."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.shopfront import Shopfront, Visitor
from tests.support.mariadb import MariaDB
from tests.support.processes import eventually

pytest_plugins = ("tests.api.shop_fixtures",)

# More than there are threads for endpoints.
CALLERS = 60
ANSWERED_WITHIN_S = 30.0


@pytest.mark.proof
@pytest.mark.timeout(180)
def test_everybody_is_answered_while_the_database_is_silent_and_served_when_it_is_back(
    front: Shopfront, customer: Visitor, mariadb_server: MariaDB
) -> None:
    customer.http.timeout = httpx.Timeout(60)
    customer.http.get("/orders/")
    mariadb_server.freeze()
    began = time.monotonic()

    try:
        with ThreadPoolExecutor(CALLERS) as callers:
            answers = list(callers.map(lambda _: customer.http.get("/orders/"), range(CALLERS)))
        alive = customer.http.get("/healthz")
        took_s = time.monotonic() - began
    finally:
        mariadb_server.thaw()

    assert {answer.status_code for answer in answers} <= {503, 504}
    assert {answer.json()["code"] for answer in answers} <= {"database_unavailable", "too_slow"}
    assert alive.status_code == httpx.codes.OK
    assert took_s < ANSWERED_WITHIN_S
    eventually(lambda: customer.http.get("/orders/").is_success, what="served again")
