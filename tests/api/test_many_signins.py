"""A crowd that signs in at once, while others go about their business."""

import asyncio
import time

import httpx
import pytest

from tests.api.conftest import PASSWORD, Api, register

CROWD, CROWD_OF_THE_PROOF = 40, 200
# What an undisturbed answer takes here, many times over: the machine may be busy with other tests.
PATIENCE_S = 1.0


async def sign_in(http: httpx.AsyncClient, form: dict[str, str]) -> httpx.Response:
    """Ask again, as one is told to, what has waited for its turn for too long."""
    answer = await http.post("/auth/token", data=form)
    while answer.status_code == httpx.codes.GATEWAY_TIMEOUT:
        answer = await http.post("/auth/token", data=form)
    return answer


@pytest.mark.parametrize(
    "crowd",
    [CROWD, pytest.param(CROWD_OF_THE_PROOF, marks=[pytest.mark.proof, pytest.mark.timeout(120)])],
)
async def test_crowd_that_signs_in_holds_up_nobody_else(closed_api: Api, crowd: int) -> None:
    person = register(closed_api)
    form = {"username": person.email, "password": PASSWORD}
    unlimited = httpx.Limits(max_connections=None)

    async with httpx.AsyncClient(
        base_url=closed_api.url, timeout=60, limits=unlimited, trust_env=False
    ) as http:
        signing_in = [asyncio.create_task(sign_in(http, form)) for _ in range(crowd)]
        waits, began_all = [], time.monotonic()
        while not all(one.done() for one in signing_in):
            began = time.monotonic()
            listed = await http.get("/products/999")  # goes through a thread and the database
            waits.append(time.monotonic() - began)
            assert listed.status_code == httpx.codes.NOT_FOUND
        answers = [one.result().status_code for one in signing_in]

    took_s = time.monotonic() - began_all
    waits.sort()
    assert answers == [httpx.codes.OK] * crowd
    assert waits[len(waits) // 2] < max(PATIENCE_S, took_s / 4), f"at most {waits[-1]:.3f} s"
