"""Our books and the gateway's are compared both ways, and nothing is repaired on the way."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from infra.db import transact
from shop import comparison, reconciliation
from shop.gateways.protocol import (
    ChargeRequest,
    Declined,
    ListedRefund,
    NotSent,
    RefundRequest,
    Unknown,
)
from shop.payments import Attempt
from shop.reconciliation import DayNotBegun
from tests.shop.stage import NOON, Shop
from tests.support.gateway import FakeGateway

DAY = NOON.date()
MIDNIGHT = NOON - timedelta(hours=12)


def test_books_that_agree_are_summed_by_currency(shop: Shop) -> None:
    product = shop.sell()
    kept, given_back = shop.paid({product: 1}), shop.paid({product: 2})
    shop.fulfil()
    shop.ask_refund(given_back, 2000)
    shop.give_back()

    report = _compare(shop)

    sums = {"charges": 2, "charged": 180.0, "refunds": 1, "refunded": 20.0}
    assert kept != given_back
    assert report == {
        "gateway": "fake",
        "agrees": True,
        "ours": {"USD": sums},
        "theirs": {"USD": sums},
        "findings_total": 0,
        "findings": [],
    }


def test_a_charge_the_gateway_does_not_know_is_found(shop: Shop, gateway: FakeGateway) -> None:
    order_id = shop.paid({shop.sell(): 1})
    gateway.forget(f"{order_id}:1")

    (finding,) = _compare(shop)["findings"]

    assert finding["kind"] == "missing_at_gateway"
    assert (finding["order_id"], finding["ours"], finding["theirs"]) == (order_id, 60.0, None)


def test_a_refund_the_gateway_does_not_know_is_found(shop: Shop, gateway: FakeGateway) -> None:
    order_id = shop.paid({shop.sell(): 1})
    shop.ask_refund(order_id)
    shop.give_back()
    gateway.forget(f"refund:{order_id}:1:1")

    (finding,) = _compare(shop)["findings"]

    assert (finding["kind"], finding["what"]) == ("missing_at_gateway", "refund")


@pytest.mark.parametrize("reference", ["no-order", "{order}", "9" * 30, "9" * 5000])
def test_a_charge_we_do_not_know_is_proposed_for_a_refund(
    shop: Shop, gateway: FakeGateway, reference: str
) -> None:
    order_id = shop.paid({shop.sell(): 1})
    stranger = ChargeRequest("stray:1", reference.format(order=order_id), 700, "USD", "tok_visa")
    gateway.charge(stranger)

    (finding,) = _compare(shop)["findings"]

    assert (finding["kind"], finding["proposal"]) == ("orphan_at_gateway", "refund")
    assert (finding["ours"], finding["theirs"], finding["key"]) == (None, 7.0, "stray:1")
    assert finding["order_id"] in (None, order_id)
    assert gateway.given_back() == {}


def test_a_refund_given_up_and_made_is_an_orphan(shop: Shop, gateway: FakeGateway) -> None:
    order_id = shop.paid({shop.sell(): 1})
    shop.ask_refund(order_id, 500)
    gateway.answer_next(Declined("not now"))
    shop.give_back()
    refund = shop.refund(order_id)
    gateway.refund(RefundRequest(refund.key, refund.charge_id, 500, "USD"))

    (finding,) = _compare(shop)["findings"]

    assert (finding["kind"], finding["what"]) == ("orphan_at_gateway", "refund")
    assert (finding["key"], finding["order_id"]) == (refund.key, order_id)


@pytest.mark.parametrize(("made_minor", "kind"), [(500, "unsettled"), (400, "amount_differs")])
def test_a_refund_that_is_still_in_doubt_is_told(
    shop: Shop, gateway: FakeGateway, made_minor: int, kind: str
) -> None:
    order_id = shop.paid({shop.sell(): 1})
    shop.ask_refund(order_id, 500)
    refund = shop.refund(order_id)
    gateway.refund(RefundRequest(refund.key, refund.charge_id, made_minor, "USD"))

    (finding,) = _compare(shop)["findings"]

    assert (finding["kind"], finding["key"]) == (kind, refund.key)
    assert (finding["ours"], finding["theirs"]) == (5.0, made_minor / 100)


def test_a_charge_booked_under_another_id_is_found_on_both_sides(shop: Shop) -> None:
    order_id = shop.paid({shop.sell(): 1})
    transact(
        shop.database.sessions,
        lambda session: session.execute(sa.update(Attempt).values(charge_id="ch_mistyped")),
    )

    orphan, missing = _compare(shop)["findings"]

    assert (orphan["kind"], orphan["key"]) == ("orphan_at_gateway", f"{order_id}:1")
    assert orphan["proposal"] == "refund, if ch_mistyped, which is booked, was made too"
    assert (missing["kind"], missing["gateway_id"]) == ("missing_at_gateway", "ch_mistyped")


def test_a_charge_of_another_amount_is_found(shop: Shop) -> None:
    order_id = shop.place_one(token="tok_wrong_amount")
    shop.settle()

    (finding,) = _compare(shop)["findings"]

    assert (finding["kind"], finding["order_id"]) == ("amount_differs", order_id)
    assert (finding["ours"], finding["theirs"]) == (60.0, 60.01)


def test_a_charge_that_is_still_in_doubt_is_told(shop: Shop, gateway: FakeGateway) -> None:
    shop.place_one()
    gateway.lose_next_answer()
    shop.settle()

    (finding,) = _compare(shop)["findings"]

    assert finding["kind"] == "unsettled"


def test_a_charge_settled_on_another_day_than_made_is_no_difference(
    shop: Shop, gateway: FakeGateway
) -> None:
    gateway.now = MIDNIGHT - timedelta(seconds=1)
    shop.paid({shop.sell(): 1})

    report = _compare(shop)

    assert (report["findings"], report["theirs"]) == ([], {})


def test_a_gateway_that_does_not_list_is_no_agreement(shop: Shop) -> None:
    class Mute(FakeGateway):
        def list_charges(self, *_span: object) -> Unknown:  # type: ignore[override] # any span
            return Unknown("list failed")

    shop.gateway = Mute()

    report = _compare(shop)

    assert [finding["kind"] for finding in report["findings"]] == ["unanswered"]


def test_yesterday_is_compared_once_it_is_over(shop: Shop) -> None:
    shop.paid({shop.sell(): 1})
    early, late = MIDNIGHT + timedelta(hours=24, minutes=29), MIDNIGHT + timedelta(hours=25)

    done = [_run(shop, now=at) for at in (late, late)]

    report = _report(shop)
    assert (done, early < late) == ([1, 0], True)
    assert report is not None
    assert (report["agrees"], report["final"], report["day"]) == (True, True, DAY.isoformat())


def test_a_report_of_today_is_made_anew_each_time(shop: Shop) -> None:
    sessions = shop.database.sessions
    for minutes in (0, 1):
        at = NOON + timedelta(minutes=minutes)
        assert reconciliation.request(sessions, DAY, now=at) == at
        _run(shop, now=at)

    report = _report(shop)

    assert report is not None
    assert (report["final"], report["made_at"]) == (False, NOON + timedelta(minutes=1))


def test_a_final_report_is_asked_for_once(shop: Shop) -> None:
    sessions, later = shop.database.sessions, NOON + timedelta(days=3)
    reconciliation.request(sessions, DAY, now=later)
    _run(shop, now=later)

    assert reconciliation.request(sessions, DAY, now=later) is None
    assert reconciliation.request(sessions, DAY, anew=True, now=later) == later


def test_a_report_asked_for_while_one_is_made_is_made_after_it(shop: Shop) -> None:
    sessions = shop.database.sessions
    listed: list[datetime] = []

    class Slow(FakeGateway):
        def list_refunds(self, since: datetime, until: datetime) -> list[ListedRefund]:
            if since == MIDNIGHT and not listed.count(MIDNIGHT):
                reconciliation.request(sessions, DAY, now=NOON + timedelta(minutes=1))
            listed.append(since)
            return super().list_refunds(since, until)

    shop.gateway = Slow()
    reconciliation.request(sessions, DAY, now=NOON)

    _run(shop, now=NOON + timedelta(minutes=2))

    assert listed.count(MIDNIGHT) == 2


def test_a_run_that_died_is_taken_over(shop: Shop, gateway: FakeGateway) -> None:
    class Dying(FakeGateway):
        def list_charges(self, *_span: object) -> Unknown:  # type: ignore[override] # any span
            raise RuntimeError("killed")

    reconciliation.request(shop.database.sessions, DAY, now=NOON)
    shop.gateway = Dying()
    with pytest.raises(RuntimeError):
        _run(shop, now=NOON)
    shop.gateway = gateway

    done = [_run(shop, now=NOON + timedelta(minutes=minutes)) for minutes in (1, 11)]

    assert done[1] == 1
    assert _report(shop) is not None


def test_a_day_that_lies_ahead_is_refused(shop: Shop) -> None:
    with pytest.raises(DayNotBegun):
        reconciliation.request(shop.database.sessions, date(2200, 1, 1), now=NOON)


def test_an_order_given_up_and_charged_is_an_orphan(shop: Shop, gateway: FakeGateway) -> None:
    order_id = shop.place_one()
    gateway.answer_next(NotSent("refused"))
    shop.settle()
    shop.cancel(order_id)
    gateway.charge(ChargeRequest(f"{order_id}:1", str(order_id), 6000, "USD", "tok_visa"))

    (finding,) = _compare(shop)["findings"]

    assert (finding["kind"], finding["order_id"]) == ("orphan_at_gateway", order_id)


def _compare(shop: Shop) -> dict[str, Any]:
    until = MIDNIGHT + timedelta(days=1)
    return comparison.compare(shop.database.sessions, shop.gateway, MIDNIGHT, until).public()


def _run(shop: Shop, *, now: datetime) -> int:
    return reconciliation.run_requested(shop.database.sessions, shop.gateway, now=now)


def _report(shop: Shop) -> dict[str, Any] | None:
    with shop.database.reads() as session:
        return reconciliation.find(session, DAY)
