"""Every gateway keeps one contract; the sandbox client turns all answers into yes, no, unknown."""

import gzip
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from infra.errors import Misconfigured
from infra.http import ANSWER_LIMIT_BYTES
from infra.settings import Settings
from shop.gateways.choice import open_gateway
from shop.gateways.protocol import (
    ChargeRequest,
    Declined,
    Missing,
    NotSent,
    PaymentGateway,
    RefundRequest,
    Succeeded,
    Unknown,
    Unlisted,
)
from shop.gateways.sandbox import SandboxGateway
from shop.gateways.stripe import StripeGateway
from tests.shop.canned import CannedServer
from tests.shop.conftest import PATIENT_S
from tests.support.processes import eventually, free_port
from tests.support.proxy import Proxy
from tests.support.sandbox import Sandbox

ProxyTo = Callable[[int], Proxy]
IMPATIENT_S = 0.4
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2200, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["gateway", "sandbox_gateway", "stripe_gateway"])
def any_gateway(request: pytest.FixtureRequest) -> PaymentGateway:
    """The gateway in memory and the clients of the real ones in turn."""
    gateway: PaymentGateway = request.getfixturevalue(request.param)
    return gateway


@pytest.fixture
def impatient(world: Sandbox) -> SandboxGateway:
    """A client that waits a moment only: for answers that never come."""
    return SandboxGateway(world.gateway_url, timeout_s=IMPATIENT_S)


@pytest.fixture
def charge() -> ChargeRequest:
    """A charge of 42.00 that nobody has seen before."""
    return _charge()


def test_a_charge_succeeds(any_gateway: PaymentGateway, charge: ChargeRequest) -> None:
    answer = any_gateway.charge(charge)

    assert isinstance(answer, Succeeded)
    assert answer.id


def test_the_same_key_again_is_the_same_charge(
    any_gateway: PaymentGateway, charge: ChargeRequest
) -> None:
    first = any_gateway.charge(charge)

    assert any_gateway.charge(charge) == first


def test_the_same_key_for_another_amount_is_unknown(any_gateway: PaymentGateway) -> None:
    reference = uuid.uuid4().hex
    any_gateway.charge(_charge(reference, amount_minor=4200))

    answer = any_gateway.charge(_charge(reference, amount_minor=4300))

    assert isinstance(answer, Unknown)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("tok_declined", "generic_decline"),
        ("tok_insufficient_funds", "insufficient_funds"),
        ("tok_expired", "expired_card"),
    ],
)
def test_a_declined_card_stays_declined(
    any_gateway: PaymentGateway, token: str, reason: str
) -> None:
    charge = _charge(token=token)

    answers = [any_gateway.charge(charge), any_gateway.charge(charge)]

    assert answers == [Declined(reason)] * 2


def test_a_declined_charge_is_found_declined_or_not_at_all(any_gateway: PaymentGateway) -> None:
    charge = _charge(token="tok_declined")
    any_gateway.charge(charge)

    assert any_gateway.find_charge(charge) in (Missing(), Declined("card_declined"))


def test_a_charge_is_found(any_gateway: PaymentGateway, charge: ChargeRequest) -> None:
    made = any_gateway.charge(charge)
    assert isinstance(made, Succeeded)

    assert any_gateway.find_charge(charge) == made
    assert any_gateway.find_charge(charge, charge_id=made.id) == made


def test_a_charge_that_was_never_sent_is_missing(
    any_gateway: PaymentGateway, charge: ChargeRequest
) -> None:
    assert any_gateway.find_charge(charge) in (Missing(), Unlisted())


def test_a_charge_under_another_key_is_not_this_one(any_gateway: PaymentGateway) -> None:
    reference = uuid.uuid4().hex
    any_gateway.charge(_charge(reference, n=1))

    assert any_gateway.find_charge(_charge(reference, n=2)) in (Missing(), Unlisted())


def test_a_charge_whose_answer_was_lost_is_found(any_gateway: PaymentGateway) -> None:
    charge = _charge(token="tok_500")

    answer = any_gateway.charge(charge)

    assert isinstance(answer, Unknown)
    assert isinstance(any_gateway.find_charge(charge), Succeeded)


def test_a_charge_of_a_wrong_amount_is_unknown_for_ever(any_gateway: PaymentGateway) -> None:
    charge = _charge(token="tok_wrong_amount")

    answers = [any_gateway.charge(charge), any_gateway.charge(charge)]

    assert [type(answer) for answer in answers] == [Unknown, Unknown]
    assert isinstance(any_gateway.find_charge(charge), Unknown)


def test_a_refund_succeeds_once_per_key(any_gateway: PaymentGateway, charge: ChargeRequest) -> None:
    refund = _refund_of(any_gateway, charge, 4200)

    answers = [any_gateway.refund(refund), any_gateway.refund(refund)]

    assert isinstance(answers[0], Succeeded)
    assert answers[1] == answers[0]


def test_more_than_the_charge_cannot_be_given_back(
    any_gateway: PaymentGateway, charge: ChargeRequest
) -> None:
    refund = _refund_of(any_gateway, charge, 4201)

    assert any_gateway.refund(refund) == Declined("refund_exceeds_charge")


def test_a_refund_is_found(any_gateway: PaymentGateway, charge: ChargeRequest) -> None:
    refund = _refund_of(any_gateway, charge, 4200)
    made = any_gateway.refund(refund)

    assert any_gateway.find_refund(refund) == made


def test_a_refund_that_was_never_sent_is_missing(
    any_gateway: PaymentGateway, charge: ChargeRequest
) -> None:
    assert any_gateway.find_refund(_refund_of(any_gateway, charge, 4200)) == Missing()


def test_equal_refunds_are_told_apart_by_their_keys(
    any_gateway: PaymentGateway, charge: ChargeRequest
) -> None:
    first = _refund_of(any_gateway, charge, 2000)
    second = replace(first, key=f"refund:{charge.key}:2")
    made = any_gateway.refund(first)

    before = any_gateway.find_refund(second)
    made_too = any_gateway.refund(second)

    assert before == Missing()
    assert [any_gateway.find_refund(it) for it in (first, second)] == [made, made_too]
    assert made != made_too


def test_a_refund_of_no_charge_is_unknown(any_gateway: PaymentGateway) -> None:
    refund = RefundRequest(uuid.uuid4().hex, "ch_nobody", 100, "USD")

    assert isinstance(any_gateway.refund(refund), Unknown)


def test_what_moved_money_is_listed(any_gateway: PaymentGateway, charge: ChargeRequest) -> None:
    declined = _charge(token="tok_declined")
    any_gateway.charge(declined)
    charged = any_gateway.charge(charge)
    assert isinstance(charged, Succeeded)
    given_back = any_gateway.refund(RefundRequest("back:" + charge.key, charged.id, 42, "USD"))
    assert isinstance(given_back, Succeeded)

    charges = any_gateway.list_charges(LONG_AGO, FAR_AHEAD)
    refunds = any_gateway.list_refunds(LONG_AGO, FAR_AHEAD)

    assert isinstance(charges, list)
    assert isinstance(refunds, list)
    (listed,) = [it for it in charges if it.id == charged.id]
    assert (listed.key, listed.reference) == (charge.key, charge.reference)
    assert (listed.amount_minor, listed.currency) == (charge.amount_minor, "USD")
    assert declined.reference not in {it.reference for it in charges}
    (back,) = [it for it in refunds if it.id == given_back.id]
    assert (back.charge_id, back.amount_minor, back.currency) == (charged.id, 42, "USD")
    assert back.key == "back:" + charge.key
    before = any_gateway.list_charges(LONG_AGO, listed.created_at)
    assert isinstance(before, list)
    assert listed not in before
    assert any_gateway.list_refunds(LONG_AGO, LONG_AGO) == []


def test_books_longer_than_a_page_are_listed_whole(world: Sandbox) -> None:
    sandbox_gateway = SandboxGateway(world.gateway_url, page_size=2)
    made = [sandbox_gateway.charge(_charge()) for _ in range(5)]
    ids = [it.id for it in made if isinstance(it, Succeeded)]

    listed = sandbox_gateway.list_charges(LONG_AGO, FAR_AHEAD)

    assert isinstance(listed, list)
    assert [it.id for it in listed if it.id in ids] == ids
    assert len(ids) == 5


def test_books_that_cannot_be_listed_are_unknown(canned: CannedServer) -> None:
    canned.answer(500, b"{}")

    listed = SandboxGateway(canned.url).list_charges(LONG_AGO, FAR_AHEAD)

    assert isinstance(listed, Unknown)


def test_a_charge_without_an_answer_in_time_is_unknown_and_made(
    world: Sandbox,
    impatient: SandboxGateway,
    sandbox_gateway: SandboxGateway,
    charge: ChargeRequest,
) -> None:
    _arm(world, "charge_then_hang", charge)

    answer = impatient.charge(charge)

    assert answer == Unknown("ReadTimeout")
    eventually(lambda: isinstance(sandbox_gateway.find_charge(charge), Succeeded))


def test_a_charge_that_breaks_the_gateway_is_unknown_and_made(
    world: Sandbox, sandbox_gateway: SandboxGateway, charge: ChargeRequest
) -> None:
    _arm(world, "charge_then_500", charge)

    answers = [sandbox_gateway.charge(charge), sandbox_gateway.charge(charge)]

    assert [type(answer) for answer in answers] == [Unknown, Unknown]
    assert isinstance(sandbox_gateway.find_charge(charge), Succeeded)
    assert len(world.ledger().charges_of(charge.reference)) == 1


def test_a_refund_that_breaks_the_gateway_is_unknown_and_found(
    world: Sandbox, sandbox_gateway: SandboxGateway, charge: ChargeRequest
) -> None:
    refund = _refund_of(sandbox_gateway, charge, 4200)
    match = {"idempotency_key": refund.key}
    world.fault("gateway", "refund_then_500", times=1, match=match)

    answer = sandbox_gateway.refund(refund)

    assert isinstance(answer, Unknown)
    assert isinstance(sandbox_gateway.find_refund(refund), Succeeded)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("wrong_amount", Unknown),
        ("http_500", Unknown),
        ("garbage", Unknown),
        ("html", Unknown),
        ("http_429", NotSent),
        ("decline", Declined),
    ],
)
def test_a_fault_during_a_charge_is_classified(
    world: Sandbox, sandbox_gateway: SandboxGateway, charge: ChargeRequest, fault: str, kind: type
) -> None:
    _arm(world, fault, charge)

    answer = sandbox_gateway.charge(charge)

    assert isinstance(answer, kind)


@pytest.mark.parametrize("fault", ["http_500", "http_429", "garbage", "html"])
def test_a_fault_during_a_look_up_is_unknown(
    world: Sandbox, sandbox_gateway: SandboxGateway, charge: ChargeRequest, fault: str
) -> None:
    _arm(world, fault, charge)

    answer = sandbox_gateway.find_charge(charge)

    assert isinstance(answer, Unknown)


def test_silence_is_unknown(
    world: Sandbox, impatient: SandboxGateway, charge: ChargeRequest
) -> None:
    world.fault("gateway", "hang", match={"reference": charge.reference})

    answers = impatient.charge(charge), impatient.find_charge(charge)

    assert answers == (Unknown("ReadTimeout"), Unknown("look-up failed: ReadTimeout"))


def test_a_refused_connection_means_not_sent(charge: ChargeRequest) -> None:
    nobody = SandboxGateway(f"http://127.0.0.1:{free_port()}")

    assert nobody.charge(charge) == NotSent("ConnectError")


def test_a_refused_connection_during_a_look_up_is_unknown(charge: ChargeRequest) -> None:
    nobody = SandboxGateway(f"http://127.0.0.1:{free_port()}")

    assert isinstance(nobody.find_charge(charge), Unknown)


def test_a_charge_whose_connection_breaks_is_unknown(
    world: Sandbox, proxy_to: ProxyTo, charge: ChargeRequest
) -> None:
    proxy = proxy_to(world.gateway_port)
    broken = SandboxGateway(f"http://127.0.0.1:{proxy.port}", timeout_s=PATIENT_S)
    proxy.cut_after(0)

    answer = broken.charge(charge)

    assert isinstance(answer, Unknown)
    assert isinstance(broken.find_charge(charge), Succeeded)


@pytest.mark.parametrize("kind", ["sandbox", "stripe"])
def test_an_answer_without_an_end_is_cut_off(
    canned: CannedServer, charge: ChargeRequest, kind: str
) -> None:
    hurried, patient = _open(kind, canned.url, IMPATIENT_S), _open(kind, canned.url, PATIENT_S)
    canned.drip(every_s=0.02)
    dripping = hurried.charge(charge), hurried.find_charge(charge)
    endless = gzip.compress(b" " * (ANSWER_LIMIT_BYTES + 1))
    canned.answer(200, endless, headers={"Content-Encoding": "gzip"})

    answers = patient.charge(charge), patient.find_charge(charge)

    # Whether time is up for the whole of it or, on a machine that stands still, for one byte.
    assert [type(answer) for answer in dripping] == [Unknown, Unknown]
    assert answers == (Unknown("AnswerTooLong"), Unknown("look-up failed: AnswerTooLong"))


def test_a_gateway_without_an_address_cannot_be_opened() -> None:
    with pytest.raises(Misconfigured, match="GATEWAY_URL"):
        open_gateway(Settings())


def test_the_configured_gateway_is_opened() -> None:
    gateway = open_gateway(Settings(gateway_url="http://127.0.0.1:9"))

    assert (gateway.name, gateway.max_in_flight) == ("sandbox", 200)


def _charge(
    reference: str = "", *, n: int = 1, amount_minor: int = 4200, token: str = "tok_visa"
) -> ChargeRequest:
    reference = reference or uuid.uuid4().hex
    return ChargeRequest(f"{reference}:{n}", reference, amount_minor, "USD", token)


def _arm(world: Sandbox, fault: str, charge: ChargeRequest) -> None:
    """Have the next request about one charge suffer; a late one of another test does not."""
    world.fault("gateway", fault, times=1, match={"reference": charge.reference})


def _open(kind: str, url: str, timeout_s: float) -> PaymentGateway:
    if kind == "stripe":
        return StripeGateway("sk_test_1", api_base=url, timeout_s=timeout_s)
    return SandboxGateway(url, timeout_s=timeout_s)


def _refund_of(gateway: PaymentGateway, charge: ChargeRequest, amount_minor: int) -> RefundRequest:
    made = gateway.charge(charge)
    assert isinstance(made, Succeeded)
    return RefundRequest(f"refund:{charge.key}:1", made.id, amount_minor, "USD")
