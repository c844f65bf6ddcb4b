"""Finnhub as a server: keys, limits, premium endpoints, and the switches for all of them."""

import time

from sandbox.faults import FaultBook
from sandbox.finnhub.endpoints import Endpoints, World
from sandbox.finnhub.exchange import Hours
from sandbox.finnhub.limits import TOO_MANY, Allowance, KeyLimits
from sandbox.finnhub.trades import Tape
from sandbox.standin import Routes, StandIn
from sandbox.wire import Answer, Headers, Refusal, Request, json_answer

PREFIX = "/api/v1"
PREMIUM = frozenset(
    {"/forex/rates", "/forex/candle", "/crypto/candle", "/crypto/profile", "/stock/candle"}
)
_FAULTS = ("zeros", "no_access", "stale_time", "ws_silent")
_FIELDS = ("symbol", "exchange", "category", "base", "q", "resolution", "from", "to")


def build(*, seed: int, allowance: Allowance) -> StandIn:
    """Build a Finnhub whose prices and news follow from the seed."""
    book = FaultBook(_FAULTS, fields=_FIELDS, prefix=PREFIX)
    world = World.of(seed)
    plan = Plan(world, KeyLimits(allowance), book)
    tape = Tape(
        market=world.market,
        instruments=world.instruments,
        exchange=world.exchange,
        book=book,
    )
    return StandIn(
        name="finnhub",
        routes={**Endpoints(world, book).routes(), **plan.switches()},
        book=book,
        wording=lambda refusal: {"error": refusal.message},
        too_many=Refusal(429, "rate_limited", TOO_MANY),
        prefix=PREFIX,
        gate=plan.admit,
        talk=tape.talk,
    )


class Plan:
    """What a key may do: how often it may call and which endpoints are open to it."""

    def __init__(self, world: World, limits: KeyLimits, book: FaultBook) -> None:
        self._exchange = world.exchange
        self._limits = limits
        self._book = book
        self._premium = False

    def admit(self, request: Request) -> Headers:
        """Let a request in and tell what is left of its key's budget.

        Raises:
            Refusal: 401 without a key, 429 beyond the budget, 403 on what the plan leaves out.
        """
        key = request.header("x-finnhub-token") or request.query.get("token", "").strip()
        if not key:
            raise Refusal(401, "unauthenticated", "Please use an API key.")
        headers = self._limits.spend(key)
        closed = request.path in PREMIUM and not self._premium
        if closed or self._book.take(("no_access",), request.fields):
            raise Refusal(403, "no_access", "You don't have access to this resource.", headers)
        return headers

    def switches(self) -> Routes:
        """Return the control surface of the plan and of the exchange's hours."""
        return {
            "/admin/limits": {"GET": self._show_limits, "POST": self._set_limits},
            "/admin/premium": {"POST": self._set_premium},
            "/admin/market": {"POST": self._set_hours},
        }

    async def _show_limits(self, _request: Request) -> Answer:
        return json_answer(self._limits.describe())

    async def _set_limits(self, request: Request) -> Answer:
        self._limits.replace(self._limits.allowance.changed(request.json_object()))
        return json_answer(self._limits.describe())

    async def _set_premium(self, request: Request) -> Answer:
        enabled = request.json_object().get("enabled")
        if not isinstance(enabled, bool):
            raise Refusal(422, "invalid_switch", "`enabled` must be true or false.")
        self._premium = enabled
        return json_answer({"enabled": enabled})

    async def _set_hours(self, request: Request) -> Answer:
        hours = request.json_object().get("hours")
        if hours not in tuple(Hours):
            known = ", ".join(Hours)
            raise Refusal(422, "invalid_switch", f"`hours` must be one of: {known}.")
        self._exchange.switch(Hours(str(hours)), now=time.time())
        return json_answer({"hours": hours})
