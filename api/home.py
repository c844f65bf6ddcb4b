"""The front door: what runs here, and where to go."""

from html import escape
from string import Template
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field

from api import VERSION, dashboard
from api.deps import AppSettings
from infra.settings import AuthMode, Settings
from market.questions import Market
from market.status import Source

router = APIRouter(tags=["probes"])


class Home(BaseModel):
    """What runs here."""

    name: Literal["tradepost"] = "tradepost"
    version: str
    auth_mode: AuthMode
    market: Source
    payments: Literal["simulated", "live"]
    fee_rate: str = Field(description="The fee's share of a price, exact, as in `0.20`.")
    links: dict[str, str]

    @classmethod
    def of(cls, settings: Settings, *, market: Source) -> "Home":
        """Tell what runs; where market data come from is known to the workers alone."""
        return cls(
            version=VERSION,
            auth_mode=settings.auth_mode,
            market=market,
            payments=_PAYMENTS.get(settings.payment_gateway, "live"),
            fee_rate=format(settings.fee_rate, "f"),
            links={
                "docs": "/docs",
                "openapi": "/openapi.json",
                "products": "/products/",
                "quote": "/market/quote?symbol=AAPL",
                "events": "/events?topics=orders,market.quotes",
                "contract": "/asyncapi",
                "ready": "/readyz",
                "metrics": "/metrics",
                "flower": settings.flower_url,
            },
        )


@router.get(
    "/",
    response_model=Home,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
async def home(request: Request, settings: AppSettings) -> Response:
    """Say what runs here and where to go: a page for browsers, JSON for everybody else."""
    market: Market = request.app.state.market
    shown = Home.of(settings, market=await market.find_source())
    if "text/html" in request.headers.get("accept", ""):
        return dashboard.find_page(settings) or HTMLResponse(
            _page(shown), headers={"Vary": "Accept"}
        )
    return JSONResponse(shown.model_dump(mode="json"), headers={"Vary": "Accept"})


def _page(shown: Home) -> str:
    facts = {
        "Version": shown.version,
        "Market data": shown.market,
        "Payments": shown.payments,
        "Access": shown.auth_mode,
    }
    return _PAGE.substitute(
        dashboard=escape(dashboard.HOW_TO_GET_IT),
        facts="".join(f"<dt>{name}<dd>{escape(value)}" for name, value in facts.items()),
        links="".join(
            f'<li><a href="{escape(url)}">{_LABELS.get(name, name)}</a> <code>{escape(url)}</code>'
            for name, url in shown.links.items()
        ),
    )


_PAYMENTS: dict[str, Literal["simulated", "live"]] = {"sandbox": "simulated"}
_LABELS = {
    "docs": "Try the API",
    "openapi": "OpenAPI document",
    "products": "Catalogue",
    "quote": "A quote",
    "events": "Live events",
    "contract": "What events there are",
    "ready": "Is everything ready?",
    "metrics": "Metrics",
    "flower": "Flower, the workers",
}
_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Tradepost</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
  body { max-width: 42rem; margin: 3rem auto; padding: 0 1rem }
  dl { display: grid; grid-template-columns: max-content auto; gap: .2rem 1.5rem }
  dt { opacity: .7 } dd { margin: 0 }
  ul { list-style: none; padding: 0 } li { margin: .4rem 0 }
  code { opacity: .7; margin-left: .5rem; overflow-wrap: anywhere }
</style>
<h1>Tradepost</h1>
<p>A shop and a market-data feed on Celery, MySQL and Redis Streams.</p>
<p>$dashboard</p>
<dl>$facts</dl>
<h2>Where to go</h2>
<ul>$links</ul>
</html>
""")
