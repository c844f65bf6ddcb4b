"""Compare our ledger with the gateway's, both ways. Nothing is repaired here: people decide."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db import Row, Sessions
from shop import money
from shop.gateways.protocol import (
    ChargeRequest,
    Found,
    ListedCharge,
    ListedRefund,
    PaymentGateway,
    RefundRequest,
    Succeeded,
    Unknown,
    Unlisted,
    order_id_of,
)
from shop.ledger import Entry
from shop.payments import Attempt, AttemptState
from shop.refunds import Refund, RefundState

T = TypeVar("T")
_AT_ONCE = 500
_MOST_TOLD = 1000


class Difference(StrEnum):
    """How the books differ."""

    MISSING_AT_GATEWAY = "missing_at_gateway"
    ORPHAN_AT_GATEWAY = "orphan_at_gateway"
    AMOUNT_DIFFERS = "amount_differs"
    UNSETTLED = "unsettled"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference; amounts in minor units, None where a side knows nothing of it."""

    kind: Difference
    what: str
    currency: str
    ours_minor: int | None
    theirs_minor: int | None
    key: str | None = None
    gateway_id: str | None = None
    order_id: int | None = None
    proposal: str | None = None

    def public(self) -> dict[str, Any]:
        """Show it as the API does."""
        shown = asdict(self)
        for side in ("ours", "theirs"):
            minor = shown.pop(f"{side}_minor")
            shown[side] = None if minor is None else money.to_number(minor)
        return shown


@dataclass(slots=True)
class Sums:
    """What moved within the span, by currency; amounts in minor units."""

    charges: int = 0
    charged_minor: int = 0
    refunds: int = 0
    refunded_minor: int = 0

    def add_charge(self, amount_minor: int) -> None:
        """Count one more charge."""
        self.charges += 1
        self.charged_minor += amount_minor

    def add_refund(self, amount_minor: int) -> None:
        """Count one more refund."""
        self.refunds += 1
        self.refunded_minor += amount_minor

    def public(self) -> dict[str, Any]:
        """Show them as the API does."""
        return {
            "charges": self.charges,
            "charged": money.to_number(self.charged_minor),
            "refunds": self.refunds,
            "refunded": money.to_number(self.refunded_minor),
        }


@dataclass(slots=True)
class Report:
    """What both sides say about a span of time."""

    gateway: str
    ours: dict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))
    theirs: dict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))
    findings: list[Finding] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Tell whether nothing differs."""
        return not self.findings

    def public(self) -> dict[str, Any]:
        """Show it as the API does; of very many findings only the first."""
        return {
            "gateway": self.gateway,
            "agrees": self.agrees,
            "ours": {name: sums.public() for name, sums in sorted(self.ours.items())},
            "theirs": {name: sums.public() for name, sums in sorted(self.theirs.items())},
            "findings_total": len(self.findings),
            "findings": [finding.public() for finding in self.findings[:_MOST_TOLD]],
        }


def compare(
    sessions: Sessions, gateway: PaymentGateway, since: datetime, until: datetime
) -> Report:
    """Compare what moved from `since` on and before `until`; what the gateway lists comes first.

    What settled on one side within the span and on the other outside of it is no difference.
    """
    report = Report(gateway.name)
    charges = gateway.list_charges(since, until)
    refunds = gateway.list_refunds(since, until)
    for listed in (charges, refunds):
        if isinstance(listed, Unknown):
            what = "charges" if listed is charges else "refunds"
            report.findings.append(
                Finding(Difference.UNANSWERED, what, "", None, None, proposal=listed.reason)
            )
    if isinstance(charges, Unknown) or isinstance(refunds, Unknown):
        return report
    with sessions() as session:
        report.findings += _look_up_charges(session, charges, report)
        report.findings += _look_up_refunds(session, refunds, report)
        booked = _booked(session, gateway.name, since, until, report)
    there = {charge.id for charge in charges} | {refund.id for refund in refunds}
    report.findings += _ask_for_missing(gateway, booked, there)
    return report


def _look_up_charges(
    session: Session, listed: Sequence[ListedCharge], report: Report
) -> Iterator[Finding]:
    for some in _batches(listed):
        table = Attempt.__table__
        ids, keys = [it.id for it in some], [it.key for it in some if it.key]
        rows = session.execute(
            sa.select(table).where(
                table.c.gateway == report.gateway,
                sa.or_(table.c.charge_id.in_(ids), table.c.key.in_(keys)),
            )
        ).mappings()
        known: dict[str | None, Row] = {}
        for row in rows:
            known[row["key"]] = known[row["charge_id"]] = row
        for charge in some:
            report.theirs[charge.currency].add_charge(charge.amount_minor)
            yield from _judge_charge(charge, known.get(charge.id) or known.get(charge.key or ""))


def _judge_charge(charge: ListedCharge, attempt: Row | None) -> Iterator[Finding]:
    order_id = order_id_of(charge.reference)

    def finding(kind: Difference, ours_minor: int | None, proposal: str | None = None) -> Finding:
        return Finding(
            kind,
            "charge",
            charge.currency,
            ours_minor,
            charge.amount_minor,
            key=charge.key,
            gateway_id=charge.id,
            order_id=order_id,
            proposal=proposal,
        )

    given_up = (AttemptState.DECLINED, AttemptState.FAILED)
    if attempt is None or attempt["state"] in given_up:
        yield finding(Difference.ORPHAN_AT_GATEWAY, None, "refund")
        return
    wanted = ChargeRequest.from_document(orjson.loads(attempt["request"]))
    if (wanted.amount_minor, wanted.currency) != (charge.amount_minor, charge.currency):
        yield finding(Difference.AMOUNT_DIFFERS, wanted.amount_minor)
    elif attempt["state"] != AttemptState.SUCCEEDED:
        yield finding(Difference.UNSETTLED, wanted.amount_minor)
    elif attempt["charge_id"] != charge.id:
        # Taken twice under one key, or booked by hand under another's id: money all the same.
        proposal = f"refund, if {attempt['charge_id']}, which is booked, was made too"
        yield finding(Difference.ORPHAN_AT_GATEWAY, None, proposal)


def _look_up_refunds(
    session: Session, listed: Sequence[ListedRefund], report: Report
) -> Iterator[Finding]:
    for some in _batches(listed):
        charge_ids = {it.charge_id for it in some}
        mine = sa.select(Refund).where(
            Refund.gateway == report.gateway, Refund.charge_id.in_(charge_ids)
        )
        ours = list(session.scalars(mine))
        charged = _orders_of(session, report.gateway, charge_ids)
        by_id = {refund.refund_id: refund for refund in ours if refund.refund_id}
        by_key: dict[str | None, Refund] = {it.key: it for it in ours if not it.refund_id}
        for back in some:
            report.theirs[back.currency].add_refund(back.amount_minor)
            known = by_id.get(back.id) or by_key.get(back.key)
            yield from _judge_refund(back, known, order_id=charged.get(back.charge_id))


def _orders_of(session: Session, gateway: str, charge_ids: Iterable[str]) -> dict[str, int]:
    table = Attempt.__table__.c
    mine = sa.select(table.charge_id, table.order_id).where(
        table.gateway == gateway, table.charge_id.in_(list(charge_ids))
    )
    return {row.charge_id: row.order_id for row in session.execute(mine)}


def _judge_refund(
    back: ListedRefund, refund: Refund | None, *, order_id: int | None
) -> Iterator[Finding]:
    if refund is None:
        kind, ours, proposal = Difference.ORPHAN_AT_GATEWAY, None, "book it by hand"
    elif (refund.amount_minor, refund.currency) != (back.amount_minor, back.currency):
        kind, ours, proposal = Difference.AMOUNT_DIFFERS, refund.amount_minor, None
    elif refund.state == RefundState.FAILED:
        kind, ours, proposal = Difference.ORPHAN_AT_GATEWAY, None, "it was given up here"
    elif refund.state != RefundState.SUCCEEDED:
        kind, ours, proposal = Difference.UNSETTLED, refund.amount_minor, None
    else:
        return
    yield Finding(
        kind,
        "refund",
        back.currency,
        ours,
        back.amount_minor,
        key=refund.key if refund else back.key,
        gateway_id=back.id,
        order_id=refund.order_id if refund else order_id,
        proposal=proposal,
    )


@dataclass(frozen=True, slots=True)
class _Booked:
    """A movement of ours, with what is needed to ask the gateway for it."""

    entry: Row
    gateway_id: str | None
    request: ChargeRequest | RefundRequest | None


def _booked(
    session: Session, gateway: str, since: datetime, until: datetime, report: Report
) -> list[_Booked]:
    table, attempt, refund = Entry.__table__, Attempt.__table__, Refund.__table__
    rows = session.execute(
        sa.select(
            table,
            attempt.c.charge_id,
            attempt.c.request,
            refund.c.refund_id,
            refund.c.charge_id.label("refunded_charge"),
        )
        .outerjoin_from(
            table, attempt, sa.and_(attempt.c.gateway == gateway, attempt.c.key == table.c.txn)
        )
        .outerjoin(refund, refund.c.key == table.c.txn)
        .where(
            table.c.account == f"gateway:{gateway}",
            table.c.created_at >= since,
            table.c.created_at < until,
        )
    ).mappings()
    booked = []
    for row in rows:
        sums, amount = report.ours[row["currency"]], row["amount_minor"]
        if amount > 0:
            sums.add_charge(amount)
        else:
            sums.add_refund(-amount)
        booked.append(_Booked(row, row["charge_id"] or row["refund_id"], _request_of(row)))
    return booked


def _request_of(row: Row) -> ChargeRequest | RefundRequest | None:
    if row["request"] is not None:
        return ChargeRequest.from_document(orjson.loads(row["request"]))
    if row["refunded_charge"] is not None:
        return RefundRequest(
            row["txn"], row["refunded_charge"], -row["amount_minor"], row["currency"]
        )
    return None


def _ask_for_missing(
    gateway: PaymentGateway, booked: Iterable[_Booked], there: set[str]
) -> Iterator[Finding]:
    """Ask for each movement that the list does not show: it may have been made on another day."""
    for mine in booked:
        if mine.gateway_id in there:
            continue
        found = _find(gateway, mine)
        if isinstance(found, Succeeded) and found.id == mine.gateway_id:
            continue
        unanswered = isinstance(found, Unknown | Unlisted)
        yield Finding(
            Difference.UNANSWERED if unanswered else Difference.MISSING_AT_GATEWAY,
            "charge" if mine.entry["amount_minor"] > 0 else "refund",
            mine.entry["currency"],
            abs(mine.entry["amount_minor"]),
            None,
            key=mine.entry["txn"],
            gateway_id=mine.gateway_id,
            order_id=mine.entry["order_id"],
            proposal=found.reason if isinstance(found, Unknown) else "ask the gateway's people",
        )


def _find(gateway: PaymentGateway, mine: _Booked) -> Found | Unlisted | None:
    match mine.request:
        case ChargeRequest() as charge:
            return gateway.find_charge(charge, charge_id=mine.gateway_id)
        case RefundRequest() as refund:
            return gateway.find_refund(refund)
        case None:
            return None


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    left = iter(items)
    while some := list(islice(left, _AT_ONCE)):
        yield some
