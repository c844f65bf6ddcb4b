"""`tradepost payments held` and what a person does about it, each step in the audit log."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import AsJson, show_json, show_rows
from cli.running import settings_of_run, with_gateway_of_run
from infra.errors import Invalid, Misconfigured

if TYPE_CHECKING:
    from infra.settings import Settings
    from shop.decisions import Desk, Found, NotMade
    from shop.gateways.protocol import PaymentGateway

OrderId = Annotated[int, typer.Argument(metavar="ORDER", help="The order's id.", min=1)]
RefundId = Annotated[int, typer.Argument(metavar="REFUND", help="The refund's id.", min=1)]
Reason = Annotated[str, typer.Option(help="How you know; it is kept in the order's timeline.")]
By = Annotated[str, typer.Option(help="Who says so, for the timeline; your login if left out.")]
Unconfirmed = Annotated[
    bool,
    typer.Option("--unconfirmed", help="Also if the gateway says neither yes nor no; never a no."),
]
_LONGEST = 100
_LONGEST_NAME = 40
_LONGEST_REASON = 150
_SHOWN = ("what", "order_id", "refund_id", "key", "amount", "currency", "held_since", "reason")


class OneOfBoth(Invalid):
    """It was not said whether the money moved, or both."""

    code = "one_of_both"

    def __init__(self, made: str, not_made: str) -> None:
        super().__init__(f"Say either {made} with the gateway's id or {not_made}.")


class ReasonNeeded(Invalid):
    """Nobody would know later why, or who."""

    code = "reason_needed"

    def __init__(self) -> None:
        super().__init__(
            f"Say with --reason how you know, in at most {_LONGEST_REASON} characters, and who you "
            f"are with --by, in at most {_LONGEST_NAME}."
        )


def held(as_json: AsJson = False) -> None:
    """List the charges and refunds that no run can settle; ends with 1 when there are any."""
    # Slow to import, and every other command does without.
    from infra.db import open_database  # noqa: PLC0415
    from shop import held as waiting  # noqa: PLC0415

    with open_database(settings_of_run().database).reads() as session:
        rows = [it.public() for it in waiting.list_all(session)]
    shown = rows if as_json else [_row(row) for row in rows]
    show_rows(shown, _SHOWN, as_json=as_json, none="Nothing waits for a person.")
    if rows:
        raise typer.Exit(1)


def ask(order_id: OrderId, as_json: AsJson = False) -> None:
    """Have the gateway asked now about all of an order that is in doubt, or was given up."""
    from infra.db import transact  # noqa: PLC0415 - as above
    from shop import by_hand  # noqa: PLC0415 - as above

    with _desk("ask", f"orders/{order_id}", settings_of_run()) as desk:
        transact(desk.audited, lambda session: by_hand.ask_again(session, order_id))
    said = f"The gateway will be asked about order {order_id} within seconds."
    _tell(said, {"order_id": order_id, "status": "asked"}, as_json=as_json)


def settle(
    order_id: OrderId,
    charged: Annotated[str, typer.Option(help="It was charged: the gateway's id.")] = "",
    not_charged: Annotated[
        bool, typer.Option("--not-charged", help="It was not, and never will be.")
    ] = False,
    reason: Reason = "",
    by: By = "",
    unconfirmed: Unconfirmed = False,
    as_json: AsJson = False,
) -> None:
    """Say whether an order in doubt was charged, when you have made sure at the gateway.

    The gateway is asked first: what it denies is not written.
    """
    from shop import by_hand, orders  # noqa: PLC0415 - as above
    from shop.stock import Handover  # noqa: PLC0415 - as above

    answer = _answer(charged, not_charged, reason, by, names=("--charged", "--not-charged"))
    settings = settings_of_run()
    handover = Handover(
        timedelta(seconds=settings.fulfilment_delay_s), settings.low_stock_threshold
    )
    with _desk("settle", f"orders/{order_id}", settings, unconfirmed=unconfirmed) as desk:
        by_hand.settle_charge(desk, order_id, answer, handover=handover)
        with desk.sessions() as session:
            order = orders.get(session, order_id, user_id=None)
    said = f"Order {order_id} is {'paid' if charged else 'not paid, and has ended'}."
    _tell(said, {"order_id": order_id, "status": order["status"]}, as_json=as_json)


def settle_refund(
    refund_id: RefundId,
    made: Annotated[str, typer.Option(help="The money went back: the gateway's id.")] = "",
    not_made: Annotated[
        bool, typer.Option("--not-made", help="It did not, and never will under this key.")
    ] = False,
    reason: Reason = "",
    by: By = "",
    unconfirmed: Unconfirmed = False,
    as_json: AsJson = False,
) -> None:
    """Say whether a refund in doubt was made, when you have made sure at the gateway.

    The gateway is asked first: what it denies is not written.
    """
    from shop import refunds_by_hand  # noqa: PLC0415 - as above

    answer = _answer(made, not_made, reason, by, names=("--made", "--not-made"))
    subject = f"refunds/{refund_id}"
    with _desk("settle-refund", subject, settings_of_run(), unconfirmed=unconfirmed) as desk:
        refunds_by_hand.settle_refund(desk, refund_id, answer)
    said = f"Refund {refund_id} has {'been made' if made else 'not been made'}."
    status = "succeeded" if made else "failed"
    _tell(said, {"refund_id": refund_id, "status": status}, as_json=as_json)


def _row(held_now: dict[str, Any]) -> dict[str, Any]:
    return {
        **held_now,
        "amount": f"{held_now['amount']:.2f}",
        "held_since": f"{held_now['held_since']:%Y-%m-%d %H:%M:%S} UTC",
    }


def _answer(
    gateway_id: str,
    is_not_made: bool,
    reason: str,
    by: str,
    *,
    names: tuple[str, str],
) -> "Found | NotMade":
    from shop.decisions import Found, NotMade  # noqa: PLC0415 - as above

    why, who = reason.strip(), by.strip() or _login()
    if bool(gateway_id) == is_not_made or len(gateway_id) > _LONGEST:
        raise OneOfBoth(*names)
    if not 0 < len(why) <= _LONGEST_REASON or len(who) > _LONGEST_NAME:
        raise ReasonNeeded
    return NotMade(why, who) if is_not_made else Found(gateway_id, why, who)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return f"uid {os.getuid()}"


@contextmanager
def _desk(
    command: str, subject: str, settings: "Settings", *, unconfirmed: bool = False
) -> "Iterator[Desk]":
    """Open what a decision is checked and written with, and close it again."""
    from accounts.audit import Doing, audited  # noqa: PLC0415 - as above
    from infra.db import open_database  # noqa: PLC0415 - as above
    from shop.decisions import Desk  # noqa: PLC0415 - as above

    database = open_database(settings.database)
    doing = Doing(user_id=None, action=f"tradepost payments {command}", subject=subject)
    sessions = database.sessions
    try:
        yield Desk(sessions, audited(sessions, doing), _find_gateway(settings), unconfirmed)
    finally:
        database.engine.dispose()


def _find_gateway(settings: "Settings") -> "PaymentGateway | None":
    """Open the gateway, if this machine has what it takes."""
    from shop.gateways.choice import open_gateway  # noqa: PLC0415 - as above

    try:
        return open_gateway(with_gateway_of_run(settings))
    except Misconfigured:
        return None


def _tell(said: str, document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(document)
    else:
        typer.echo(said)
