"""What can go wrong between us and the provider, in our own words."""

from math import ceil

from infra.errors import NotFound, Transient


class UnknownSymbol(NotFound):
    """The provider knows no such symbol, currency or company."""

    code = "unknown_symbol"

    def __init__(self, symbol: str) -> None:
        super().__init__(f"Nothing is known about {symbol}.", symbol=symbol)


class UpstreamFailed(Transient):
    """The provider gave no answer that we can use; each kind says why."""

    code = "market_unavailable"


class NoAccess(UpstreamFailed):
    """The key's plan does not include this: a lasting fact, no reason to try again."""

    code = "no_access"

    def __init__(self, what: str, *, retry_after_s: int = 3600) -> None:
        super().__init__(
            f"The market data plan in use does not include {what}.", retry_after_s=retry_after_s
        )


class RateLimited(UpstreamFailed):
    """The provider says that too many calls were made; `told_s` is the pause it asks for."""

    code = "rate_limited"

    def __init__(self, *, told_s: int | None = None, retry_after_s: int = 10) -> None:
        super().__init__("The market data provider asks for a pause.", retry_after_s=retry_after_s)
        self.told_s = told_s


class OverBudget(UpstreamFailed):
    """Our own budget allows no call now, but may in `wait_s`."""

    code = "over_budget"

    def __init__(self, *, wait_s: float = 1.0) -> None:
        super().__init__(
            "The budget of calls to the market data provider is used up for the moment.",
            retry_after_s=ceil(wait_s),
        )
        self.wait_s = wait_s


class FinnhubUnavailable(UpstreamFailed):
    """No answer in time, or the provider's own failure."""

    def __init__(self, why: str, *, retry_after_s: int = 5) -> None:
        super().__init__(
            f"The market data provider cannot be reached: {why}.", retry_after_s=retry_after_s
        )


class FinnhubHiccup(FinnhubUnavailable):
    """No connection, or a 502, 503 or 504 of something in between: another try may do."""


class KeyRefused(FinnhubUnavailable):
    """The provider does not take our key; asking on would not make it do so."""

    def __init__(self) -> None:
        super().__init__("it refuses our key", retry_after_s=60)


class BadAnswer(UpstreamFailed):
    """The provider answered with something that cannot be true; it is kept out of everything."""

    def __init__(self, why: str, *, retry_after_s: int = 5) -> None:
        super().__init__(
            f"The market data provider's answer cannot be used: {why}.",
            retry_after_s=retry_after_s,
        )
