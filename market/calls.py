"""Calls to the provider on behalf of one want: each within the budget, all before a deadline."""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from math import ceil
from typing import TypeVar

from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from infra.errors import AppError
from infra.logs import log
from infra.redis import RedisDown
from infra.sharing.budget import CallBudget, Lane
from market.entitlements import Errand, Plan
from market.upstream import (
    FinnhubHiccup,
    FinnhubUnavailable,
    KeyRefused,
    NoAccess,
    OverBudget,
    RateLimited,
)

T = TypeVar("T")

# By when an answer must be there to be of use: a person waits three seconds.
ANSWER_BY_S = {Lane.INTERACTIVE: 2.8, Lane.SCHEDULED: 5.0, Lane.BACKFILL: 5.0}
# What has not been sent so long before need not be sent.
ON_THE_WAY_S = 0.8
# A dead server answers a hundred tries no better than two, and each spends the budget.
_TRIES = 2
_RETRY_WAIT = wait_random_exponential(multiplier=0.2, max=0.5)
_KEY_REFUSED_S = 60


class Calls:
    """The calls that one want may cause, beginning now; an answer may take `on_the_way_s`."""

    def __init__(
        self, budget: CallBudget, plan: Plan, *, lane: Lane, on_the_way_s: float = ON_THE_WAY_S
    ) -> None:
        self.lane = lane
        self._budget = budget
        self._plan = plan
        self._send_by = time.monotonic() + ANSWER_BY_S[lane] - ON_THE_WAY_S
        self._answer_by = self._send_by + on_the_way_s

    def make(self, errand: Errand, call: Callable[[float], T]) -> T:
        """Make one call as soon as the budget allows; `call` is told the seconds it may take.

        What failed on the way there or back is tried once more, as a call of its own. Only for
        people it waits for the budget: whoever waits keeps others from the same want.

        Raises:
            NoAccess: the plan does not include it, and nobody was asked if that was known.
            OverBudget: it does not allow it now, or not in time for people.
            RateLimited: the provider thinks otherwise; the budget pauses for everybody.
            RedisDown: nobody knows the budget, so nothing was called.
            UpstreamFailed: what the call itself raises.
        """
        self._plan.check(errand)
        retrying = Retrying(
            retry=retry_if_exception_type(FinnhubHiccup),
            stop=stop_after_attempt(_TRIES)
            | stop_before_delay(max(0.0, self._send_by - time.monotonic())),
            wait=_RETRY_WAIT,
            reraise=True,
        )
        answer: T = retrying(self._make_once, errand, call)
        return answer

    def _make_once(self, errand: Errand, call: Callable[[float], T]) -> T:
        self._spend()
        left_s = self._answer_by - time.monotonic()
        if left_s <= 0:
            raise FinnhubUnavailable("there was no time left to ask")
        try:
            answer = call(left_s)
        except AppError as error:
            self._count(_word(error))
            self._learn(errand, error)
            raise
        self._count("ok")
        with suppress(RedisDown):
            self._plan.note_served(errand)
        return answer

    def _count(self, answer: str) -> None:
        # An answer that was paid for is not lost over its count.
        with suppress(RedisDown):
            self._budget.count(answer)

    def _learn(self, errand: Errand, error: AppError) -> None:
        if isinstance(error, NoAccess):
            self._plan.note_refused(errand)
        elif isinstance(error, KeyRefused):
            self._budget.pause(told_s=_KEY_REFUSED_S, reason=_word(error))
            log.error("finnhub_key_refused")
        elif isinstance(error, RateLimited):
            paused_s = self._budget.pause(told_s=error.told_s, reason=_word(error))
            log.warning("finnhub_paused", paused_s=paused_s)
            raise RateLimited(told_s=error.told_s, retry_after_s=ceil(paused_s)) from None

    def _spend(self) -> None:
        while wait_s := self._budget.take(self.lane):
            if self.lane is not Lane.INTERACTIVE or time.monotonic() + wait_s > self._send_by:
                raise OverBudget(wait_s=wait_s)
            time.sleep(wait_s)


def _word(error: AppError) -> str:
    """Name a kind of failure in metrics: `bad_answer` for `BadAnswer`."""
    return re.sub("(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
