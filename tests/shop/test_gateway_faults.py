"""Every fault the sandbox gateway knows, by token and by admin call, and what we make of it."""

import uuid
from typing import Literal

import pytest

from infra.db import Database
from shop.gateways.protocol import (
    Answer,
    ChargeRequest,
    Declined,
    Found,
    Missing,
    NotSent,
    Succeeded,
    Unknown,
)
from shop.gateways.sandbox import SandboxGateway
from tests.shop.stage import NOON, Shop
from tests.support.processes import eventually
from tests.support.sandbox import Sandbox

# For those that never answer; nobody else is hurried.
IMPATIENT_S = 0.4
SILENT = {"hang", "charge_then_hang"}
# What the client makes of each, and what a look-up finds afterwards.
FAULTS = [
    ("decline", "tok_declined", Declined, Missing),
    ("slow", "tok_slow", Succeeded, Succeeded),
    ("hang", "tok_no_answer", Unknown, Missing),
    ("http_500", "tok_http_500", Unknown, Missing),
    ("http_429", "tok_http_429", NotSent, Missing),
    ("garbage", "tok_garbage", Unknown, Missing),
    ("html", "tok_html", Unknown, Missing),
    ("conflict", "tok_conflict", Unknown, Missing),
    ("refused", "tok_refused", NotSent, Missing),
    ("charge_then_hang", "tok_hang", Unknown, Succeeded),
    ("charge_then_500", "tok_500", Unknown, Succeeded),
    ("wrong_amount", "tok_wrong_amount", Unknown, Unknown),
    ("wrong_currency", "tok_wrong_currency", Unknown, Unknown),
    ("id_used", "tok_id_used", Succeeded, Succeeded),
]


@pytest.mark.parametrize("by", ["token", "admin call"])
@pytest.mark.parametrize(
    ("fault", "token", "answer", "found"),
    FAULTS,
)
def test_a_fault_is_classified(
    world: Sandbox,
    sandbox_gateway: SandboxGateway,
    by: Literal["token", "admin call"],
    fault: str,
    token: str,
    answer: type[Answer],
    found: type[Found],
) -> None:
    reference = uuid.uuid4().hex
    used = token if by == "token" else "tok_visa"
    charge = ChargeRequest(f"{reference}:1", reference, 4200, "USD", used)
    impatient = SandboxGateway(world.gateway_url, timeout_s=IMPATIENT_S)
    if by == "admin call":
        match = {"reference": reference, "method": "POST"}
        world.fault("gateway", fault, times=1, match=match, delay_s=0.1)

    told = (impatient if fault in SILENT else sandbox_gateway).charge(charge)

    assert isinstance(told, answer)
    eventually(lambda: isinstance(sandbox_gateway.find_charge(charge), found))
    assert len(world.ledger().charges_of(reference)) == (found is not Missing)


def test_every_fault_about_charges_is_tried(world: Sandbox) -> None:
    known = set(world.faults("gateway"))

    others = {name for name in known if name.startswith(("webhook_", "refund_"))}

    assert known - others == {fault for fault, *_ in FAULTS}


def test_an_id_of_another_charge_is_doubted_and_the_right_one_found(
    database: Database, sandbox_gateway: SandboxGateway, world: Sandbox
) -> None:
    shop = Shop(database, sandbox_gateway)
    first = shop.place_one()
    shop.settle()
    second = shop.place_one(token="tok_id_used")

    shop.settle()
    assert (shop.status(first), shop.status(second)) == ("paid", "payment_unknown")
    shop.settle(now=NOON.replace(minute=1))

    (charge,) = world.ledger().charges_of(second)
    assert (shop.status(second), shop.attempt(second).charge_id) == ("paid", charge.id)
