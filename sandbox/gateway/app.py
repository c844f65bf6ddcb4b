"""The gateway's HTTP interface: charges, refunds, lookups, and its control surface."""

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from sandbox.faults import FaultBook
from sandbox.gateway import asked
from sandbox.gateway.asked import ChargeAsked
from sandbox.gateway.cards import Card, card_of
from sandbox.gateway.ledger import Charge, KeptAnswer, Ledger, Refund
from sandbox.gateway.webhooks import WEBHOOK_FAULTS, Subscription, Webhooks
from sandbox.standin import TRANSPORT_FAULTS, Routes, StandIn, break_off
from sandbox.wire import JSON, Answer, Headers, Refusal, Reply, Request, Silence, json_answer

_CHARGE_FAULTS = (
    "decline", "charge_then_hang", "charge_then_500",
    "wrong_amount", "wrong_currency", "id_used", "conflict", "refused",
)  # fmt: skip
_REFUND_FAULTS = ("refund_then_hang", "refund_then_500")
_TOO_MANY = Refusal(429, "rate_limited", "Too many requests.", (("retry-after", "1"),))
_NOT_US = Refusal(401, "unauthorized", "This key is not accepted.")
_IN_USE = Refusal(409, "key_in_use", "A request with this key is under way.")
_FIELDS = ("reference", "token", "amount", "currency", "idempotency_key", "charge")
_REPLAYED: Headers = (("idempotent-replayed", "true"),)
_BROKEN = {"error": {"code": "internal", "message": "Something broke. No details."}}
_CREATED = 201
_SERVER_ERROR = 500


def build(data_dir: Path, *, subscription: Subscription | None = None) -> StandIn:
    """Build the gateway over its ledger in `data_dir`; a subscriber hears of everything."""
    faults = (*_CHARGE_FAULTS, *_REFUND_FAULTS, *WEBHOOK_FAULTS)
    book = FaultBook(faults, fields=_FIELDS)
    gateway = Gateway(
        ledger=Ledger(data_dir / "gateway.db"),
        webhooks=Webhooks(data_dir / "gateway-webhook.json", book, subscription=subscription),
        book=book,
    )
    return StandIn(
        name="gateway",
        routes=gateway.routes(),
        book=book,
        wording=lambda refusal: _error(refusal.code, refusal.message),
        too_many=_TOO_MANY,
        gate=_authorized,
        close=gateway.close,
    )


class Gateway:
    """Takes and gives back money, once per idempotency key."""

    def __init__(self, *, ledger: Ledger, webhooks: Webhooks, book: FaultBook) -> None:
        self._ledger = ledger
        self._webhooks = webhooks
        self._book = book
        self._keys_in_use: set[str] = set()
        self._last_id = ""

    def routes(self) -> Routes:
        """Return what the gateway answers, by path and method."""
        return {
            "/v1/charges": {"POST": self._charge, "GET": self._list_charges},
            "/v1/charges/{id}": {"GET": self._show_charge},
            "/v1/refunds": {"POST": self._refund, "GET": self._list_refunds},
            "/admin/ledger": {"GET": self._show_ledger},
            "/admin/webhook": {"POST": self._subscribe, "DELETE": self._unsubscribe},
        }

    async def close(self) -> None:
        """Finish what is being written and drop webhooks under way."""
        await self._webhooks.close()
        await self._ledger.close()

    async def _charge(self, request: Request) -> Reply:
        key = asked.read_key(request)
        wish = asked.read_charge(request)
        with self._using(key):
            if kept := self._ledger.find_answer(key):
                return _replay(kept, wish.fingerprint)
            card = card_of(wish.token)
            await asyncio.sleep(card.delay_s)
            fault = card.fault or self._struck_by(_CHARGE_FAULTS, request)
            if fault in TRANSPORT_FAULTS:
                return break_off(fault, too_many=_TOO_MANY)
            if fault == "conflict":
                raise _IN_USE
            if fault == "refused":
                raise _NOT_US
            if card.decline_code or fault == "decline":
                return await self._decline(key, wish, card)
            return await self._take_money(key, wish, fault)

    async def _decline(self, key: str, wish: ChargeAsked, card: Card) -> Answer:
        decline_code = card.decline_code or "generic_decline"
        error = {
            "code": "card_declined",
            "decline_code": decline_code,
            "message": f"The card was declined: {decline_code}.",
        }
        kept = KeptAnswer(key, wish.fingerprint, 402, orjson.dumps({"error": error}))
        await self._ledger.keep(kept)
        failed = {
            "reference": wish.reference,
            "amount": wish.amount,
            "currency": wish.currency,
            "status": "failed",
            "decline_code": decline_code,
            "idempotency_key": key,
        }
        await self._webhooks.announce("charge.failed", failed)
        return Answer(kept.status, kept.body)

    async def _take_money(self, key: str, wish: ChargeAsked, fault: str | None) -> Reply:
        charge = Charge(
            id=f"ch_{secrets.token_hex(12)}",
            reference=wish.reference,
            idempotency_key=key,
            amount=wish.amount + 1 if fault == "wrong_amount" else wish.amount,
            currency=_another(wish.currency) if fault == "wrong_currency" else wish.currency,
            status="succeeded",
            created_at=_now(),
        )
        told = replace(charge, id=self._last_id or charge.id) if fault == "id_used" else charge
        self._last_id = charge.id
        kept = KeptAnswer(key, wish.fingerprint, _CREATED, orjson.dumps(told))
        if fault == "charge_then_500":
            kept = replace(kept, status=_SERVER_ERROR, body=orjson.dumps(_BROKEN))
        await self._ledger.keep(kept, charge)
        await self._webhooks.announce("charge.succeeded", asdict(charge), fault=fault)
        return Silence() if fault == "charge_then_hang" else Answer(kept.status, kept.body)

    async def _refund(self, request: Request) -> Reply:
        key = asked.read_key(request)
        wish = asked.read_refund(request)
        with self._using(key):
            if kept := self._ledger.find_answer(key):
                return _replay(kept, wish.fingerprint)
            charge = self._charge_of(wish.charge)
            refund = Refund(
                id=f"re_{secrets.token_hex(12)}",
                charge=charge.id,
                amount=wish.amount,
                currency=charge.currency,
                created_at=_now(),
                idempotency_key=key,
            )
            fault = self._struck_by(_REFUND_FAULTS, request)
            kept = KeptAnswer(key, wish.fingerprint, _CREATED, orjson.dumps(refund))
            if fault == "refund_then_500":
                kept = replace(kept, status=_SERVER_ERROR, body=orjson.dumps(_BROKEN))
            await self._ledger.keep_refund(kept, refund)
            await self._webhooks.announce("refund.succeeded", asdict(refund))
            return Silence() if fault == "refund_then_hang" else Answer(kept.status, kept.body)

    async def _list_charges(self, request: Request) -> Answer:
        reference = request.query.get("reference")
        if reference is not None:
            return _page(self._ledger.list_charges_of(reference))
        wish = asked.read_page(request)
        if wish.after:
            self._charge_of(wish.after)
        found = self._ledger.list_charges_after(wish)
        return _page(found[: wish.limit], has_more=len(found) > wish.limit)

    async def _show_charge(self, request: Request) -> Answer:
        return json_answer(self._charge_of(request.last_segment))

    async def _list_refunds(self, request: Request) -> Answer:
        charge = request.query.get("charge")
        if charge is not None:
            return _page(self._ledger.list_refunds_of(charge))
        wish = asked.read_page(request)
        found = self._ledger.list_refunds_after(wish)
        return _page(found[: wish.limit], has_more=len(found) > wish.limit)

    async def _show_ledger(self, _request: Request) -> Answer:
        return json_answer(await self._ledger.read_everything())

    async def _subscribe(self, request: Request) -> Answer:
        subscription = Subscription.read(request.json_object())
        await self._webhooks.subscribe(subscription)
        return json_answer({"url": subscription.url}, status=_CREATED)

    async def _unsubscribe(self, _request: Request) -> Answer:
        await self._webhooks.unsubscribe()
        return json_answer({"url": None})

    def _charge_of(self, charge_id: str) -> Charge:
        charge = self._ledger.find_charge(charge_id)
        if charge is None:
            raise Refusal(404, "charge_not_found", "There is no such charge.")
        return charge

    def _struck_by(self, names: tuple[str, ...], request: Request) -> str | None:
        fault = self._book.take(names, request.fields)
        return fault.name if fault else None

    @contextmanager
    def _using(self, key: str) -> Iterator[None]:
        if key in self._keys_in_use:
            raise _IN_USE
        self._keys_in_use.add(key)
        try:
            yield
        finally:
            self._keys_in_use.discard(key)


def _authorized(request: Request) -> Headers:
    asked.check_authorization(request)
    return ()


def _replay(kept: KeptAnswer, fingerprint: bytes) -> Answer:
    if kept.fingerprint != fingerprint:
        raise Refusal(409, "idempotency_key_reused", "This key was used for another request.")
    status = 200 if kept.status == _CREATED else kept.status
    return Answer(status, kept.body, JSON, _REPLAYED)


def _page(found: Sequence[Charge | Refund], *, has_more: bool = False) -> Answer:
    return json_answer({"data": found, "has_more": has_more})


def _error(code: str, message: str) -> Mapping[str, object]:
    return {"error": {"code": code, "message": message}}


def _another(currency: str) -> str:
    return "EUR" if currency != "EUR" else "USD"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
