"""Calls to the provider on behalf of one want: each within the budget, all before a deadline."""

import time
from collections.abc import Callable
from math import ceil
from typing import TypeVar

from infra.budget import CallBudget, Lane
from infra.logs import log
from market.upstream import OverBudget, RateLimited

T = TypeVar("T")

# A person waits three seconds: what has not been sent by then need not be sent. A schedule comes
# again soon, and must not keep a thread from people for long.
PATIENCE_S = {Lane.INTERACTIVE: 2.0, Lane.SCHEDULED: 1.5, Lane.BACKFILL: 0.0}


class Calls:
    """The calls that one want may cause, beginning now."""

    def __init__(self, budget: CallBudget, *, lane: Lane) -> None:
        self.lane = lane
        self._budget = budget
        self._ends_at = time.monotonic() + PATIENCE_S[lane]

    def make(self, call: Callable[[], T]) -> T:
        """Make one call as soon as the budget allows.

        Raises:
            OverBudget: it does not allow it in time.
            RateLimited: the provider thinks otherwise; the budget pauses for everybody.
            RedisDown: nobody knows the budget, so nothing was called.
            UpstreamFailed: what the call itself raises.
        """
        self._spend()
        try:
            return call()
        except RateLimited:
            paused_s = self._budget.pause()
            log.warning("finnhub_paused", paused_s=paused_s)
            raise RateLimited(retry_after_s=ceil(paused_s)) from None

    def _spend(self) -> None:
        while wait_s := self._budget.take(self.lane):
            if time.monotonic() + wait_s > self._ends_at:
                raise OverBudget(retry_after_s=ceil(wait_s))
            time.sleep(wait_s)
