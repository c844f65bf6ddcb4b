"""What a person is told when everything is ready: where it is, and what to try first."""

from rich.text import Text

from cli.plan import Plan

_LABELS = {
    "gateway": "Payment gateway",
    "finnhub": "Finnhub",
    "feed": "Product feed",
    "redis": "Redis",
    "database": "Database",
}


def announcement(plan: Plan, *, after_s: float) -> Text:
    """Give the addresses as aligned lines, whole on any width, with a first command."""
    urls = {place.name: place.url for place in plan.places}
    api = urls["api"]
    rows = [
        ("Dashboard", f"{api}/"),
        ("API", f"{api}/docs"),
        ("Live events", f"{api}/events?topics=orders,market.quotes"),
        ("Flower", f"{urls['flower']}  ({_flower_login(plan)})"),
    ]
    rows += [
        (_LABELS[place.name], f"{place.url}{'  (stand-in)' if place.service == 'sandbox' else ''}")
        for place in plan.places
        if place.name in _LABELS and place.url
    ]
    rows.append(("Logs", str(plan.settings.data_dir / "logs")))
    return Text.assemble(
        (f"\nTradepost is ready after {after_s:.1f} s.\n\n", "bold green"),
        *(part for label, value in rows for part in ((f"  {label:<16}", "bold"), f"{value}\n")),
        "\nTry it from another terminal:  ",
        (f"curl -s {api}/products/", "bold cyan"),
        "\nCtrl-C stops everything; the data stay.\n",
    )


def _flower_login(plan: Plan) -> str:
    login = plan.settings.flower_basic_auth
    user, _, password = (login.get_secret_value() if login else "").partition(":")
    return f"user {user}, password {password if plan.flower_password_made else 'as you set it'}"
