"""What webhooks leave behind: a payment that is looked at in time, and a row for a month."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from shop import webhooks
from shop.gateways.notices import Notice, Subject
from shop.gateways.protocol import Unknown
from shop.webhooks import BATCH, KEEP, WebhookInbox
from tests.shop.stage import NOON, Shop

SECOND = timedelta(seconds=1)


def test_a_webhook_that_is_faster_than_the_answer_is_not_forgotten(shop: Shop) -> None:
    order_id = shop.place_one()
    (claim,) = shop.claim(now=NOON)
    webhooks.receive(shop.database.sessions, _notice(1, order_id), now=NOON + SECOND)

    shop.write(claim, Unknown("the gateway answered 500"), now=NOON + 2 * SECOND)

    payment = shop.payment(order_id)
    assert (payment.due_at, payment.lease_token) == (NOON + SECOND, None)


@pytest.mark.parametrize("booked", [True, False])
def test_a_refund_that_fails_after_it_was_booked_is_an_alarm(shop: Shop, *, booked: bool) -> None:
    order_id = shop.paid({shop.sell(): 1})
    shop.ask_refund(order_id, 500)
    if booked:
        shop.give_back()
    charge_id = shop.attempt(order_id).charge_id
    failed = replace(
        _notice(1, order_id), type="refund.failed", subject=Subject.REFUND, charge_id=charge_id
    )

    with capture_logs() as logs:
        webhooks.receive(shop.database.sessions, failed, now=NOON)

    assert ("booked_refund_failed" in [entry["event"] for entry in logs]) is booked


def test_events_are_forgotten_after_a_month(shop: Shop) -> None:
    old = [_row(n, NOON - KEEP - SECOND) for n in range(BATCH + 1)]
    kept = [_row(n, NOON - KEEP) for n in range(BATCH + 1, BATCH + 3)]
    with shop.database.sessions.begin() as session:
        session.execute(sa.insert(WebhookInbox), [*old, *kept])

    forgotten = [webhooks.forget(shop.database.sessions, now=NOON) for _ in range(2)]

    assert forgotten == [BATCH + 1, 0]
    with shop.database.reads() as session:
        left = set(session.scalars(sa.select(WebhookInbox.event_id)))
    assert left == {row["event_id"] for row in kept}


def _notice(number: int, order_id: int) -> Notice:
    return Notice(
        gateway="fake",
        event_id=f"evt_{number}",
        type="charge.succeeded",
        subject=Subject.CHARGE,
        body_hash="0" * 64,
        order_id=order_id,
    )


def _row(number: int, received_at: datetime) -> dict[str, object]:
    return {
        "gateway": "fake",
        "event_id": f"evt_{number}",
        "type": "charge.succeeded",
        "body_hash": "0" * 64,
        "received_at": received_at,
    }
