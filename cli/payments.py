"""`tradepost payments`: look after the money."""

import json
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from cli.running import with_gateway_of_run
from infra.errors import Invalid
from infra.settings import load_settings

payments = typer.Typer(help="Look after the money.", no_args_is_help=True)
_DIFFERS = 1


class NotADay(Invalid):
    """The day is no date."""

    code = "not_a_day"

    def __init__(self, text: str) -> None:
        super().__init__(f"{text} is no day: write it as 2026-01-31.")


@payments.command()
def reconcile(
    day: Annotated[str, typer.Option(help="A day (UTC), as 2026-01-31; today if left out.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compare our ledger with the gateway's for a day; ends with 1 when something differs."""
    # Slow to import, and every other command does without.
    from rich.console import Console  # noqa: PLC0415

    from infra import logs  # noqa: PLC0415
    from infra.db import open_database  # noqa: PLC0415
    from shop import reconciliation  # noqa: PLC0415
    from shop.gateways.choice import open_gateway  # noqa: PLC0415

    wanted = _day(day)
    settings = with_gateway_of_run(load_settings())
    database, gateway = open_database(settings.database), open_gateway(settings)
    logs.configure(settings, service="cli")
    with Console(stderr=True).status(f"Comparing {wanted} with the gateway {gateway.name} ..."):
        report = reconciliation.compare(database.sessions, gateway, wanted)
    database.engine.dispose()
    typer.echo(json.dumps(report, indent=2) if as_json else _told(report))
    if not report["agrees"]:
        raise typer.Exit(_DIFFERS)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text) if text else datetime.now(UTC).date()
    except ValueError:
        raise NotADay(text) from None


def _told(report: dict[str, Any]) -> str:
    lines = [f"{report['day']}: {report['gateway']} and we " + _verdict(report)]
    for side in ("ours", "theirs"):
        for currency, sums in report[side].items():
            lines.append(
                f"  {side:<7}{currency}  {sums['charges']} charges {sums['charged']:.2f}, "
                f"{sums['refunds']} refunds {sums['refunded']:.2f}"
            )
    lines += [_finding(finding) for finding in report["findings"]]
    return "\n".join(lines)


def _verdict(report: dict[str, Any]) -> str:
    return "agree." if report["agrees"] else f"differ in {report['findings_total']} things:"


def _finding(finding: dict[str, Any]) -> str:
    amounts = " / ".join(
        "nothing" if finding[side] is None else f"{finding[side]:.2f}"
        for side in ("ours", "theirs")
    )
    about = finding["key"] or finding["gateway_id"]
    proposal = f" - {finding['proposal']}" if finding["proposal"] else ""
    if about is None:  # nothing was compared
        return f"  {finding['kind']}: {finding['what']} of the whole day{proposal}"
    order = "no order of ours" if finding["order_id"] is None else f"order {finding['order_id']}"
    return (
        f"  {finding['kind']}: {finding['what']} {about} ({order}), "
        f"ours / theirs {amounts} {finding['currency']}{proposal}"
    )
