"""A person settles what no run could find out; the rest of the order goes on as ever."""

from collections.abc import Callable
from datetime import datetime, timedelta

import orjson
import pytest

from infra.db import Database, transact
from shop import by_hand, claiming, payments, refunds_by_hand, webhooks
from shop import held as waiting
from shop.by_hand import LOOK_AFTER
from shop.decisions import (
    QUIET_FOR,
    BeingAsked,
    Desk,
    Found,
    GatewayDisagrees,
    IdTaken,
    NotConfirmed,
    NotInDoubt,
    NotMade,
    TooFresh,
)
from shop.doubts import HUMAN_AFTER
from shop.gateways.notices import Notice, Subject
from shop.gateways.protocol import (
    ChargeRequest,
    PaymentGateway,
    RefundRequest,
    Unknown,
    Unlisted,
)
from shop.gateways.protocol import Found as Answered
from shop.held import Held
from shop.repayments import AFTER_REFUSALS, LEASE, MOST_TRIES
from shop.stock import Handover
from tests.shop.stage import BUYER, NOON, Level, Shop
from tests.support.gateway import FakeGateway

LATER = NOON + HUMAN_AFTER
SOON = NOON + QUIET_FOR
SEEN = "seen in the gateway's dashboard"
NOT_MADE = NotMade(SEEN, "ada")


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
def doubtful(shop: Shop, gateway: FakeGateway, product: int) -> int:
    """An order of one whose charge has just been sent, and was not answered."""
    order_id = int(shop.place({product: 1})["id"])
    gateway.answer_next(Unknown("ReadTimeout"))
    shop.settle()
    return order_id


@pytest.fixture
def doubtful_refund(shop: Shop, gateway: FakeGateway, product: int) -> int:
    """An order whose refund has just been sent, and was not answered."""
    order_id = shop.paid({product: 1})
    shop.ask_refund(order_id)
    gateway.answer_next(Unknown("ReadTimeout"))
    shop.give_back()
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
    gateway.charge(_request_of(shop, held))

    _settle_charge(shop, held, _found(held))
    shop.fulfil(now=LATER)

    assert (shop.status(held), shop.attempt(held).charge_id) == ("completed", f"ch_{held}:1")
    assert shop.ledger(held)[(f"{held}:1", "gateway:fake")] == 12000
    assert shop.level(product) == Level(on_hand=8, reserved=0)
    assert _held(shop) == []


def test_an_order_that_was_not_charged_ends_and_frees_its_stock(
    shop: Shop, product: int, held: int
) -> None:
    _settle_charge(shop, held, NOT_MADE)

    assert (shop.status(held), shop.attempt(held).state) == ("payment_failed", "failed")
    assert shop.level(product) == Level(on_hand=10, reserved=0)
    assert shop.ledger(held) == {}


def test_a_young_doubt_is_settled_too(shop: Shop, gateway: FakeGateway, doubtful: int) -> None:
    gateway.charge(_request_of(shop, doubtful))

    _settle_charge(shop, doubtful, _found(doubtful), now=NOON)
    shop.settle(now=LATER)

    assert shop.status(doubtful) == "paid"
    assert gateway.captured() == {f"{doubtful}:1": 6000}


@pytest.mark.parametrize("made", [True, False])
def test_what_a_person_said_stands_in_the_timeline_with_who_it_was(
    shop: Shop, gateway: FakeGateway, held: int, *, made: bool
) -> None:
    if made:
        gateway.charge(_request_of(shop, held))

    _settle_charge(shop, held, _found(held) if made else NOT_MADE)

    calls = shop.timeline(held)["gateway_calls"]
    said = [it["reason"] for it in calls if it["operation"] == "by_hand"]
    assert said == [f"ada: {SEEN}"]
    shown = shop.timeline(held, user_id=BUYER)["gateway_calls"]
    assert [it["reason"] for it in shown if it["operation"] == "by_hand"] == [None]
    asked = ["by_hand", "charge", "find_charge", "find_charge"]
    assert sorted(it["operation"] for it in calls) == asked


@pytest.mark.parametrize(
    ("made", "decision"),
    [(True, NOT_MADE), (True, Found("ch_9", SEEN, "ada")), (False, Found("ch_9", SEEN, "ada"))],
)
def test_what_the_gateway_denies_is_not_written_however_sure_a_person_is(
    shop: Shop, gateway: FakeGateway, doubtful: int, *, made: bool, decision: Found | NotMade
) -> None:
    if made:
        gateway.charge(_request_of(shop, doubtful))

    with pytest.raises(GatewayDisagrees):
        _settle_charge(shop, doubtful, decision, now=SOON, unconfirmed=True)

    payment = shop.payment(doubtful)
    assert (shop.status(doubtful), payment.lease_token) == ("payment_unknown", None)
    calls = shop.timeline(doubtful)["gateway_calls"]
    assert [it["operation"] for it in calls] == ["charge", "find_charge"]


@pytest.mark.parametrize("said", [Unknown("the gateway answered 500"), Unlisted(), None])
def test_only_a_person_who_is_sure_is_believed_without_the_gateway(
    shop: Shop, gateway: FakeGateway, doubtful: int, said: Unknown | Unlisted | None
) -> None:
    asked = gateway if said else None
    for _ in range(2 if said else 0):
        gateway.find_next(said or Unlisted())

    with pytest.raises(NotConfirmed):
        _settle_charge(shop, doubtful, NOT_MADE, gateway=asked, now=SOON)
    before = shop.status(doubtful)
    _settle_charge(shop, doubtful, NOT_MADE, gateway=asked, now=SOON, unconfirmed=True)

    assert (before, shop.status(doubtful)) == ("payment_unknown", "payment_failed")


def test_an_id_that_leads_nowhere_does_not_stand_against_what_is_under_our_key(
    shop: Shop, gateway: FakeGateway, doubtful: int
) -> None:
    gateway.charge(_request_of(shop, doubtful))
    gateway.find_next(Unknown("the answer is about another charge"))

    with pytest.raises(GatewayDisagrees):
        _settle_charge(shop, doubtful, Found("ch_9", SEEN, "ada"), unconfirmed=True)

    assert shop.status(doubtful) == "payment_unknown"


def test_a_charge_that_was_just_sent_is_not_said_to_be_never_made(
    shop: Shop, doubtful: int, doubtful_refund: int
) -> None:
    before = shop.snapshot()

    with pytest.raises(TooFresh):
        _settle_charge(shop, doubtful, NOT_MADE, now=SOON - timedelta(seconds=1))
    with pytest.raises(TooFresh):
        _settle_refund(shop, doubtful_refund, NOT_MADE, now=SOON - timedelta(seconds=1))

    assert shop.snapshot() == before


def test_nothing_is_sent_while_the_gateway_is_asked_about_a_decision(
    shop: Shop, gateway: FakeGateway, doubtful: int
) -> None:
    asked = Meanwhile(lambda: shop.settle(now=SOON))

    _settle_charge(shop, doubtful, NOT_MADE, gateway=asked, now=SOON)

    assert (gateway.sent, shop.status(doubtful)) == ([f"{doubtful}:1"], "payment_failed")


def test_a_decision_waits_for_who_is_at_the_charge(
    shop: Shop, doubtful: int, doubtful_refund: int
) -> None:
    sending = shop.place_one()
    shop.claim(now=SOON)
    refund = Meanwhile(lambda: _settle_refund(shop, doubtful_refund, NOT_MADE, now=SOON))

    for order_id in (doubtful, sending):
        with pytest.raises(BeingAsked):
            _settle_charge(shop, order_id, NOT_MADE, now=SOON)
    with pytest.raises(BeingAsked):
        _settle_refund(shop, doubtful_refund, NOT_MADE, gateway=refund, now=SOON)

    assert shop.status(doubtful) == "payment_unknown"


def test_a_decision_whose_time_ran_out_is_not_written(
    shop: Shop, doubtful: int, doubtful_refund: int
) -> None:
    charge = Meanwhile(lambda: shop.claim(now=SOON + claiming.LEASE))
    refund = Meanwhile(lambda: shop.give_back(now=SOON + LEASE))

    with pytest.raises(BeingAsked):
        _settle_charge(shop, doubtful, NOT_MADE, gateway=charge, now=SOON)
    with pytest.raises(BeingAsked):
        _settle_refund(shop, doubtful_refund, NOT_MADE, gateway=refund, now=SOON)

    assert shop.attempt(doubtful).state == "unknown"
    assert shop.refund(doubtful_refund).state == "succeeded"


def test_a_decision_that_died_is_open_again_after_its_lease(
    shop: Shop, doubtful: int, doubtful_refund: int
) -> None:
    def die() -> None:
        raise RuntimeError("killed")

    for settle, number in ((_settle_charge, doubtful), (_settle_refund, doubtful_refund)):
        with pytest.raises(RuntimeError):
            settle(shop, number, NOT_MADE, gateway=Meanwhile(die), now=SOON)
        with pytest.raises(BeingAsked):
            settle(shop, number, NOT_MADE, now=SOON)
        settle(shop, number, NOT_MADE, now=SOON + LEASE)

    assert shop.attempt(doubtful).state == "failed"
    assert shop.refunds(doubtful_refund)[0].state == "failed"


def test_a_charge_that_turns_up_after_all_is_found_by_itself_and_sold(
    shop: Shop, gateway: FakeGateway, doubtful: int
) -> None:
    _settle_charge(shop, doubtful, NOT_MADE, now=SOON)
    gateway.charge(_request_of(shop, doubtful))

    gateway.find_next(Unknown("the gateway answered 500"))
    shop.settle(now=SOON + LOOK_AFTER)
    unanswered = shop.status(doubtful)
    shop.settle(now=SOON + LOOK_AFTER + timedelta(seconds=30))

    assert (unanswered, shop.status(doubtful)) == ("payment_failed", "paid")
    assert gateway.captured() == {f"{doubtful}:1": 6000}


def test_what_is_sold_again_tells_of_low_stock_as_it_is_set(
    each_database: Database, gateway: FakeGateway
) -> None:
    shop = Shop(each_database, gateway, low_stock=9)
    product = shop.sell(quantity=10)
    order_id = int(shop.place({product: 1})["id"])
    gateway.answer_next(Unknown("the gateway answered 500"))
    shop.settle()
    _settle_charge(shop, order_id, NOT_MADE, now=SOON)
    gateway.charge(_request_of(shop, order_id))

    shop.settle(now=SOON + LOOK_AFTER)

    assert shop.status(order_id) == "paid"
    assert shop.told_types(f"stock/{product}").count("stock.low") == 2


def test_a_look_that_finds_nothing_is_the_last_until_a_person_asks(
    shop: Shop, gateway: FakeGateway, doubtful: int
) -> None:
    _settle_charge(shop, doubtful, NOT_MADE, now=SOON)

    shop.settle(now=SOON + LOOK_AFTER)

    assert (shop.payment(doubtful).due_at, shop.payment(doubtful).tries) == (None, 0)
    gateway.charge(_request_of(shop, doubtful))
    later = SOON + LOOK_AFTER + timedelta(days=1)
    transact(
        shop.database.sessions, lambda session: by_hand.ask_again(session, doubtful, now=later)
    )
    shop.settle(now=later)
    assert shop.status(doubtful) == "paid"


def test_the_id_of_another_orders_charge_is_refused(shop: Shop, product: int, held: int) -> None:
    other = shop.paid({product: 1}, now=LATER)
    before = shop.snapshot()

    with pytest.raises(IdTaken):
        _settle_charge(shop, held, _found(other))

    assert shop.snapshot() == before


@pytest.mark.parametrize("order", ["held", "doubtful"])
def test_the_gateway_is_asked_at_once(
    shop: Shop, gateway: FakeGateway, order: str, request: pytest.FixtureRequest
) -> None:
    order_id: int = request.getfixturevalue(order)
    gateway.charge(_request_of(shop, order_id))
    at = shop.payment(order_id).updated_at

    transact(shop.database.sessions, lambda session: by_hand.ask_again(session, order_id, now=at))
    shop.settle(now=at)

    assert (shop.status(order_id), _held(shop)) == ("paid", [])


@pytest.mark.parametrize("order", ["held_refund", "doubtful_refund"])
def test_a_refund_that_was_found_is_booked(
    shop: Shop, gateway: FakeGateway, order: str, request: pytest.FixtureRequest
) -> None:
    order_id: int = request.getfixturevalue(order)
    gateway.mend()
    gateway.refund(_refund_request_of(shop, order_id))

    _settle_refund(shop, order_id, Found(f"re_refund:{order_id}:1:1", SEEN, "ada"), now=NOON)

    assert (shop.status(order_id), shop.order(order_id)["refunded"]) == ("refunded", 60.0)
    assert sum(shop.ledger(order_id).values()) == 0
    assert shop.refund(order_id).refund_id == f"re_refund:{order_id}:1:1"


def test_a_refund_that_was_not_made_is_made_under_the_next_key(
    shop: Shop, gateway: FakeGateway, held_refund: int
) -> None:
    _settle_refund(shop, held_refund, NOT_MADE, unconfirmed=True, gateway=None)

    shop.give_back(now=LATER + AFTER_REFUSALS[0])

    assert gateway.given_back() == {f"refund:{held_refund}:1:2": 6000}
    assert shop.status(held_refund) == "refunded"


@pytest.mark.parametrize("made", [True, False])
def test_what_the_gateway_denies_of_a_refund_is_not_written(
    shop: Shop, gateway: FakeGateway, doubtful_refund: int, *, made: bool
) -> None:
    if made:
        gateway.refund(_refund_request_of(shop, doubtful_refund))

    decision = NOT_MADE if made else Found("re_9", SEEN, "ada")

    with pytest.raises(GatewayDisagrees):
        _settle_refund(shop, doubtful_refund, decision, now=SOON)
    shop.give_back(now=SOON)

    assert shop.status(doubtful_refund) == "refunded"
    assert gateway.given_back() == {f"refund:{doubtful_refund}:1:1": 6000}


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
    gateway.refund(_refund_request_of(shop, held_refund))
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


def test_what_is_not_in_doubt_cannot_be_settled_by_hand(shop: Shop, product: int) -> None:
    order_id = shop.paid({product: 1})
    shop.ask_refund(order_id)

    with pytest.raises(NotInDoubt):
        _settle_charge(shop, order_id, NOT_MADE)
    with pytest.raises(NotInDoubt):
        _settle_refund(shop, order_id, NOT_MADE)


class Meanwhile(FakeGateway):
    """A gateway where something happens while it is asked, and which then knows of nothing."""

    def __init__(self, happen: Callable[[], object]) -> None:
        super().__init__()
        self._happen = happen

    def find_charge(
        self, request: ChargeRequest, *, charge_id: str | None = None
    ) -> Answered | Unlisted:
        """Let it happen first."""
        self._happen()
        return super().find_charge(request, charge_id=charge_id)

    def find_refund(self, request: RefundRequest) -> Answered:
        """Let it happen first."""
        self._happen()
        return super().find_refund(request)


def _found(order_id: int) -> Found:
    return Found(f"ch_{order_id}:1", SEEN, "ada")


def _request_of(shop: Shop, order_id: int) -> ChargeRequest:
    return ChargeRequest.from_document(orjson.loads(shop.attempt(order_id).request))


def _refund_request_of(shop: Shop, order_id: int) -> RefundRequest:
    refund = shop.refund(order_id)
    return RefundRequest(refund.key, refund.charge_id, refund.amount_minor, refund.currency)


def _held(shop: Shop) -> list[Held]:
    with shop.database.reads() as session:
        return waiting.list_all(session)


def _settle_charge(
    shop: Shop,
    order_id: int,
    decision: Found | NotMade,
    *,
    now: datetime = LATER,
    unconfirmed: bool = False,
    **other: PaymentGateway | None,
) -> None:
    desk = _desk(shop, unconfirmed=unconfirmed, **other)
    by_hand.settle_charge(desk, order_id, decision, handover=Handover(), now=now)


def _settle_refund(
    shop: Shop,
    order_id: int,
    decision: Found | NotMade,
    *,
    now: datetime = LATER,
    unconfirmed: bool = False,
    **other: PaymentGateway | None,
) -> None:
    refund_id = shop.refund(order_id).id
    desk = _desk(shop, unconfirmed=unconfirmed, **other)
    refunds_by_hand.settle_refund(desk, refund_id, decision, now=now)


def _desk(shop: Shop, *, unconfirmed: bool, **other: PaymentGateway | None) -> Desk:
    sessions = shop.database.sessions
    return Desk(sessions, sessions, other.get("gateway", shop.gateway), unconfirmed)
