"""`tradepost payments held` and what a person does about it, each step in the audit log."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from infra.errors import Invalid
from infra.settings import load_settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from shop.by_hand import Found, NotMade

OrderId = Annotated[int, typer.Argument(metavar="ORDER", help="The order's id.", min=1)]
RefundId = Annotated[int, typer.Argument(metavar="REFUND", help="The refund's id.", min=1)]
Reason = Annotated[str, typer.Option(help="How you know; it is kept in the order's timeline.")]
_LONGEST = 100


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


def held() -> None:
    """List the charges and refunds that no run can settle; ends with 1 when there are any."""
    # Slow to import, and every other command does without.
    from infra.db import open_database  # noqa: PLC0415
    from shop import by_hand, money  # noqa: PLC0415

    database = open_database(load_settings().database)
    with database.reads() as session:
        found = by_hand.list_held(session)
    for it in found:
        typer.echo(
            f"{it.what} {it.number}\torder {it.order_id}\t{it.key}\t"
            f"{money.to_number(it.amount_minor):.2f} {it.currency}\t"
            f"since {it.since:%Y-%m-%d %H:%M:%S} UTC\t{it.reason or ''}"
        )
    if found:
        raise typer.Exit(1)
    typer.echo("Nothing waits for a person.")


def ask(order_id: OrderId) -> None:
    """Have the gateway asked once more about what is held of an order."""
    from shop import by_hand  # noqa: PLC0415 - as above

    _change("ask", f"orders/{order_id}", lambda session: by_hand.ask_again(session, order_id))
    typer.echo(f"The gateway will be asked about order {order_id} within seconds.")


def settle(
    order_id: OrderId,
    charged: Annotated[str, typer.Option(help="It was charged: the gateway's id.")] = "",
    not_charged: Annotated[
        bool, typer.Option("--not-charged", help="It was not, and never will be.")
    ] = False,
    reason: Reason = "",
) -> None:
    """Say whether an order that is held was charged, when you have made sure at the gateway."""
    from shop import by_hand  # noqa: PLC0415 - as above

    answer = _answer(charged, not_charged, reason, names=("--charged", "--not-charged"))
    delay = timedelta(seconds=load_settings().fulfilment_delay_s)
    _change(
        "settle",
        f"orders/{order_id}",
        lambda session: by_hand.settle_charge(session, order_id, answer, fulfilment_delay=delay),
    )
    typer.echo(f"Order {order_id} is {'paid' if charged else 'not paid, and has ended'}.")


def settle_refund(
    refund_id: RefundId,
    made: Annotated[str, typer.Option(help="The money went back: the gateway's id.")] = "",
    not_made: Annotated[
        bool, typer.Option("--not-made", help="It did not, and never will under this key.")
    ] = False,
    reason: Reason = "",
) -> None:
    """Say whether a refund that is held was made, when you have made sure at the gateway."""
    from shop import by_hand  # noqa: PLC0415 - as above

    answer = _answer(made, not_made, reason, names=("--made", "--not-made"))
    _change(
        "settle-refund",
        f"refunds/{refund_id}",
        lambda session: by_hand.settle_refund(session, refund_id, answer),
    )
    typer.echo(f"Refund {refund_id} has {'been made' if made else 'not been made'}.")


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


def _change(command: str, subject: str, work: "Callable[[Session], None]") -> None:
    from accounts.audit import Doing, audited  # noqa: PLC0415 - as above
    from infra.db import open_database, transact  # noqa: PLC0415 - as above

    database = open_database(load_settings().database)
    doing = Doing(user_id=None, action=f"tradepost payments {command}", subject=subject)
    transact(audited(database.sessions, doing), work)
    database.engine.dispose()
