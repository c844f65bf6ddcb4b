"""A person settles what no run could find out; the rest of the order goes on as ever."""

from datetime import timedelta

import orjson
import pytest

from infra.db import Database, transact
from shop import by_hand, payments, webhooks
from shop import held as waiting
from shop.by_hand import Found, IdTaken, NotHeld, NotMade
from shop.gateways.notices import Notice, Subject
from shop.gateways.protocol import ChargeRequest, RefundRequest, Unknown
from shop.held import Held
from shop.outcomes import HUMAN_AFTER
from shop.repayments import AFTER_REFUSALS, LEASE, MOST_TRIES
from tests.shop.stage import NOON, Level, Shop
from tests.support.gateway import FakeGateway

LATER = NOON + HUMAN_AFTER
SEEN = "seen in the gateway's dashboard"


@pytest.fixture
def shop(database: Database, gateway: FakeGateway) -> Shop:
    """A shop on MariaDB."""
    return Shop(database, gateway)


@pytest.fixture
def product(shop: Shop) -> int:
    """Ten pieces at 60.00."""
    return shop.sell(quantity=10)


@pytest.fixture
def held(shop: Shop, gateway: FakeGateway, product: int) -> int:
    """An order of two whose charge was never made clear."""
    order_id = int(shop.place({product: 2})["id"])
    gateway.answer_next(Unknown("ReadTimeout"))
    shop.settle()
    gateway.find_next(Unknown("look-up failed"))
    shop.settle(now=LATER)
    return order_id


@pytest.fixture
def held_refund(shop: Shop, gateway: FakeGateway, product: int) -> int:
    """An order that is owed 60.00 under a key whose call breaks."""
    order_id = shop.paid({product: 1})
    shop.withdraw(product)
    shop.fulfil()
    gateway.break_on(f"refund:{order_id}:1:1")
    for n in range(MOST_TRIES + 1):
        shop.give_back(now=NOON + n * LEASE)
    return order_id


def test_what_is_held_is_listed(shop: Shop, held: int, held_refund: int) -> None:
    refund = shop.refund(held_refund)

    found = _held(shop)

    assert [(it.what, it.order_id, it.refund_id, it.key, it.amount_minor) for it in found] == [
        ("refund", held_refund, refund.id, refund.key, 6000),
        ("charge", held, None, f"{held}:1", 12000),
    ]
    assert [it.held_since for it in found] == [NOON + MOST_TRIES * LEASE, LATER]
    assert [it.reason for it in found] == [None, "look-up failed"]
    with shop.database.reads() as session:
        assert waiting.count(session) == {"charge": 1, "refund": 1}


def test_an_order_tells_what_of_it_is_held_and_since_when(
    shop: Shop, held: int, held_refund: int
) -> None:
    since = NOON + MOST_TRIES * LEASE

    charged, refunded = shop.timeline(held), shop.timeline(held_refund)

    assert [(it["what"], it["held_since"]) for it in charged["held"]] == [("charge", LATER)]
    assert [(it["what"], it["held_since"]) for it in refunded["held"]] == [("refund", since)]
    assert (charged["reason"], refunded["reason"]) == ("ReadTimeout", None)
    assert [it["held_since"] for it in refunded["refunds"]] == [since]
    with shop.database.reads() as session:
        shown = payments.show(session, shop.payment(held).id, user_id=None)
    assert (shown["outcome"], shown["held_since"]) == ("needs_human", LATER)


def test_an_order_whose_charge_was_found_is_paid_and_delivered(
    shop: Shop, gateway: FakeGateway, product: int, held: int
) -> None:
    _settle_charge(shop, held, Found("ch_seen", SEEN))
    shop.fulfil(now=LATER)

    assert (shop.status(held), shop.attempt(held).charge_id) == ("completed", "ch_seen")
    assert shop.ledger(held)[(f"{held}:1", "gateway:fake")] == 12000
    assert shop.level(product) == Level(on_hand=8, reserved=0)
    assert _held(shop) == []


def test_an_order_that_was_not_charged_ends_and_frees_its_stock(
    shop: Shop, product: int, held: int
) -> None:
    _settle_charge(shop, held, NotMade(SEEN))

    assert (shop.status(held), shop.attempt(held).state) == ("payment_failed", "failed")
    assert shop.level(product) == Level(on_hand=10, reserved=0)
    assert shop.ledger(held) == {}


@pytest.mark.parametrize("answer", [Found("ch_seen", SEEN), NotMade(SEEN)])
def test_what_a_person_said_stands_in_the_timeline(
    shop: Shop, held: int, answer: Found | NotMade
) -> None:
    _settle_charge(shop, held, answer)

    calls = shop.timeline(held)["gateway_calls"]
    assert [it["reason"] for it in calls if it["operation"] == "by_hand"] == [SEEN]
    assert sorted(it["operation"] for it in calls) == ["by_hand", "charge", "find_charge"]


def test_a_charge_that_turns_up_after_all_is_given_back_or_sold(
    shop: Shop, gateway: FakeGateway, held: int
) -> None:
    _settle_charge(shop, held, NotMade("wrongly"))
    gateway.charge(_request_of(shop, held))

    shop.look_again(held, now=LATER)
    shop.settle(now=LATER)

    assert shop.status(held) == "paid"


def test_the_id_of_another_orders_charge_is_refused(shop: Shop, product: int, held: int) -> None:
    other = shop.paid({product: 1}, now=LATER)
    before = shop.snapshot()

    with pytest.raises(IdTaken):
        _settle_charge(shop, held, Found(f"ch_{other}:1", SEEN))

    assert shop.snapshot() == before


def test_the_gateway_is_asked_once_more(shop: Shop, gateway: FakeGateway, held: int) -> None:
    gateway.charge(_request_of(shop, held))

    transact(shop.database.sessions, lambda session: by_hand.ask_again(session, held, now=LATER))
    shop.settle(now=LATER)

    assert (shop.status(held), _held(shop)) == ("paid", [])


def test_a_refund_that_was_found_is_booked(shop: Shop, held_refund: int) -> None:
    _settle_refund(shop, held_refund, Found("re_seen", SEEN))

    assert (shop.status(held_refund), shop.order(held_refund)["refunded"]) == ("refunded", 60.0)
    assert sum(shop.ledger(held_refund).values()) == 0
    assert shop.refund(held_refund).refund_id == "re_seen"


def test_a_refund_that_was_not_made_is_made_under_the_next_key(
    shop: Shop, gateway: FakeGateway, held_refund: int
) -> None:
    _settle_refund(shop, held_refund, NotMade(SEEN))

    shop.give_back(now=LATER + AFTER_REFUSALS[0])

    assert gateway.given_back() == {f"refund:{held_refund}:1:2": 6000}
    assert shop.status(held_refund) == "refunded"


def test_a_refund_is_asked_for_once_more(
    shop: Shop, gateway: FakeGateway, held_refund: int
) -> None:
    gateway.mend()

    transact(
        shop.database.sessions,
        lambda session: by_hand.ask_again(session, held_refund, now=LATER),
    )
    shop.give_back(now=LATER + timedelta(days=1))

    assert shop.refunds(held_refund)[0].state == "failed"


def test_a_webhook_has_a_refund_looked_up_that_is_held(
    shop: Shop, gateway: FakeGateway, held_refund: int
) -> None:
    gateway.mend()
    refund = shop.refund(held_refund)
    request = RefundRequest(refund.key, refund.charge_id, refund.amount_minor, refund.currency)
    gateway.refund(request)
    notice = Notice(
        gateway="fake",
        event_id="evt_1",
        type="refund.succeeded",
        subject=Subject.REFUND,
        body_hash="0" * 64,
        charge_id=refund.charge_id,
    )

    webhooks.receive(shop.database.sessions, notice, now=LATER)
    shop.give_back(now=LATER)

    assert shop.status(held_refund) == "refunded"


def test_what_is_not_held_cannot_be_settled_by_hand(shop: Shop, product: int) -> None:
    order_id = shop.paid({product: 1})
    shop.ask_refund(order_id)

    with pytest.raises(NotHeld):
        _settle_charge(shop, order_id, NotMade(SEEN))
    with pytest.raises(NotHeld):
        _settle_refund(shop, order_id, NotMade(SEEN))


def _request_of(shop: Shop, order_id: int) -> ChargeRequest:
    return ChargeRequest.from_document(orjson.loads(shop.attempt(order_id).request))


def _held(shop: Shop) -> list[Held]:
    with shop.database.reads() as session:
        return waiting.list_all(session)


def _settle_charge(shop: Shop, order_id: int, answer: Found | NotMade) -> None:
    transact(
        shop.database.sessions,
        lambda session: by_hand.settle_charge(session, order_id, answer, now=LATER),
    )


def _settle_refund(shop: Shop, order_id: int, answer: Found | NotMade) -> None:
    refund_id = shop.refund(order_id).id
    transact(
        shop.database.sessions,
        lambda session: by_hand.settle_refund(session, refund_id, answer, now=LATER),
    )
