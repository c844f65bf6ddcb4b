"""What became of a want, as it is told through Redis from the worker to those who wait."""

from infra.errors import AppError, Transient
from infra.sharing.asking import Outcome
from market import freshness
from market.upstream import NoAccess, OverBudget, UnknownSymbol, UpstreamFailed

OK = "ok"


class MarketUnavailable(UpstreamFailed):
    """There is no fresh answer now, and none is stored; `reason` says why."""

    def __init__(self, detail: str, *, reason: str, retry_after_s: int) -> None:
        super().__init__(detail, retry_after_s=retry_after_s, reason=reason)


def describe(error: AppError) -> Outcome:
    """Put a failure into words for those who wait."""
    retry_after_s = error.retry_after_s if isinstance(error, Transient) else freshness.FAILED_S
    return {"code": error.code, "detail": error.detail, "retry_after_s": retry_after_s}


def life_s(error: AppError) -> int:
    """Return how long a failure is a fact that need not be tried again."""
    if isinstance(error, UnknownSymbol):
        return freshness.UNKNOWN_S
    if isinstance(error, NoAccess):
        # No longer than the refusal itself that this one goes by.
        return max(1, error.retry_after_s)
    if isinstance(error, OverBudget):
        return min(freshness.FAILED_S, max(1, error.retry_after_s))
    return freshness.FAILED_S


def failure_of(outcome: Outcome, *, subject: str) -> UnknownSymbol | MarketUnavailable | None:
    """Turn what a worker told into the error it stands for; None if all went well."""
    code = str(outcome.get("code"))
    if code == OK:
        return None
    if code == UnknownSymbol.code:
        return UnknownSymbol(subject)
    return MarketUnavailable(
        str(outcome.get("detail")),
        reason=code,
        retry_after_s=_told_wait_s(outcome),
    )


def _told_wait_s(outcome: Outcome) -> int:
    """Read how long to wait; whoever can write to Redis can tell anything."""
    told_s = outcome.get("retry_after_s")
    if type(told_s) is int and 0 < told_s <= freshness.NO_ACCESS_S:  # true is an int too
        return told_s
    return freshness.FAILED_S
