"""`tradepost payments held` and what a person does about it, each step in the audit log."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cli.output import AsJson, show_json, show_rows
from cli.running import settings_of_run
from infra.errors import Invalid

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from shop.by_hand import Found, NotMade

T = TypeVar("T")
OrderId = Annotated[int, typer.Argument(metavar="ORDER", help="The order's id.", min=1)]
RefundId = Annotated[int, typer.Argument(metavar="REFUND", help="The refund's id.", min=1)]
Reason = Annotated[str, typer.Option(help="How you know; it is kept in the order's timeline.")]
_LONGEST = 100
_SHOWN = ("what", "order_id", "refund_id", "key", "amount", "currency", "held_since", "reason")


class OneOfBoth(Invalid):
    """It was not said whether the money moved, or both."""

    code = "one_of_both"

    def __init__(self, made: str, not_made: str) -> None:
        super().__init__(f"Say either {made} with the gateway's id or {not_made}.")


class ReasonNeeded(Invalid):
    """Nobody would know later why."""

    code = "reason_needed"

    def __init__(self) -> None:
        super().__init__("Say with --reason how you know.")


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
    """Have the gateway asked once more about what is held of an order."""
    from shop import by_hand  # noqa: PLC0415 - as above

    _change("ask", f"orders/{order_id}", lambda session: by_hand.ask_again(session, order_id))
    said = f"The gateway will be asked about order {order_id} within seconds."
    _tell(said, {"order_id": order_id, "status": "asked"}, as_json=as_json)


def settle(
    order_id: OrderId,
    charged: Annotated[str, typer.Option(help="It was charged: the gateway's id.")] = "",
    not_charged: Annotated[
        bool, typer.Option("--not-charged", help="It was not, and never will be.")
    ] = False,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Say whether an order that is held was charged, when you have made sure at the gateway."""
    from shop import by_hand, orders  # noqa: PLC0415 - as above

    answer = _answer(charged, not_charged, reason, names=("--charged", "--not-charged"))
    delay = timedelta(seconds=settings_of_run().fulfilment_delay_s)

    def work(session: "Session") -> dict[str, Any]:
        by_hand.settle_charge(session, order_id, answer, fulfilment_delay=delay)
        return orders.get(session, order_id, user_id=None)

    order = _change("settle", f"orders/{order_id}", work)
    said = f"Order {order_id} is {'paid' if charged else 'not paid, and has ended'}."
    _tell(said, {"order_id": order_id, "status": order["status"]}, as_json=as_json)


def settle_refund(
    refund_id: RefundId,
    made: Annotated[str, typer.Option(help="The money went back: the gateway's id.")] = "",
    not_made: Annotated[
        bool, typer.Option("--not-made", help="It did not, and never will under this key.")
    ] = False,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Say whether a refund that is held was made, when you have made sure at the gateway."""
    from shop import by_hand  # noqa: PLC0415 - as above

    answer = _answer(made, not_made, reason, names=("--made", "--not-made"))
    _change(
        "settle-refund",
        f"refunds/{refund_id}",
        lambda session: by_hand.settle_refund(session, refund_id, answer),
    )
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
    *,
    names: tuple[str, str],
) -> "Found | NotMade":
    from shop.by_hand import Found, NotMade  # noqa: PLC0415 - as above

    if bool(gateway_id) == is_not_made or len(gateway_id) > _LONGEST:
        raise OneOfBoth(*names)
    if not reason.strip():
        raise ReasonNeeded
    return NotMade(reason.strip()) if is_not_made else Found(gateway_id, reason.strip())


def _change(command: str, subject: str, work: "Callable[[Session], T]") -> T:
    from accounts.audit import Doing, audited  # noqa: PLC0415 - as above
    from infra.db import open_database, transact  # noqa: PLC0415 - as above

    settings = settings_of_run()
    database = open_database(settings.database)
    doing = Doing(user_id=None, action=f"tradepost payments {command}", subject=subject)
    done = transact(audited(database.sessions, doing), work)
    database.engine.dispose()
    return done


def _tell(said: str, document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(document)
    else:
        typer.echo(said)
