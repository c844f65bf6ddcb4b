"""Serve the wants in the set, many at once, and tell everybody who waits what became of them."""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import Enum, auto

from infra.errors import AppError
from infra.logs import log
from infra.redis import RedisDown
from infra.sharing.budget import Lane
from market import freshness, outcomes
from market.calls import Calls
from market.forex_refresh import refresh_forex
from market.quotes import Saved
from market.reference_refresh import (
    refresh_holidays,
    refresh_search,
    refresh_status,
    refresh_symbols,
)
from market.refresh import Desk, refresh_company, refresh_news, refresh_quote
from market.upstream import OverBudget
from market.wants import Kind, Want, parse_want

AT_ONCE = 16
# The rest is kept free for people who wait.
SCHEDULED_AT_ONCE = 8
RUN_S = 5.0
_LOOK_AGAIN_S = 0.05
# A schedule comes again soon, and must not keep a thread from people for long.
_SCHEDULE_WAITS_S = 1.5


class _Became(Enum):
    CHANGED = auto()
    UNCHANGED = auto()
    PUT_OFF = auto()


@dataclass(frozen=True, slots=True)
class Drained:
    """What one run did; `left` is True if it ended by its time, so that there may be more."""

    served: int
    changed: int
    left: bool


def drain(desk: Desk, *, run_s: float = RUN_S) -> Drained:
    """Serve wants until there are none, or until `run_s` have passed: then nothing new is begun.

    Safe to run twice at once: a want is taken by one of them, and begun by one only.
    """
    ends_at = time.monotonic() + run_s
    became: list[tuple[str, _Became]] = []
    flying: dict[Future[_Became], tuple[str, Lane]] = {}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="market-call") as pool:
        while True:
            left = time.monotonic() > ends_at
            if not left:
                for text, lane in _take(desk, [lane for _, lane in flying.values()]):
                    flying[pool.submit(_serve, desk, text, lane)] = text, lane
            if not flying:
                break
            done, _ = wait(flying, timeout=_LOOK_AGAIN_S, return_when=FIRST_COMPLETED)
            became += [(flying.pop(future)[0], future.result()) for future in done]
    _put_back(desk, [text for text, what in became if what is _Became.PUT_OFF])
    changed = sum(what is _Became.CHANGED for _, what in became)
    return Drained(len(became), changed, left)


def _take(desk: Desk, flying: list[Lane]) -> list[tuple[str, Lane]]:
    free = AT_ONCE - len(flying)
    try:
        asked = desk.wanted.take(lane=Lane.INTERACTIVE, limit=free)
        room = min(free - len(asked), SCHEDULED_AT_ONCE - flying.count(Lane.SCHEDULED))
        scheduled = desk.wanted.take(lane=Lane.SCHEDULED, limit=room)
    except RedisDown:
        log.warning("wants_not_read")
        return []
    return [(text, Lane.INTERACTIVE) for text in asked] + [
        (text, Lane.SCHEDULED) for text in scheduled
    ]


def _put_back(desk: Desk, wants: list[str]) -> None:
    try:
        desk.wanted.add(wants, lane=Lane.SCHEDULED)
    except RedisDown:
        log.warning("wants_not_put_back", count=len(wants))  # the next tick wants them again


def _serve(desk: Desk, text: str, lane: Lane) -> _Became:
    """Serve one want, whatever happens.

    A schedule waits for the budget without being at the want: people may want the same, and are
    allowed a call sooner.
    """
    ends_at = time.monotonic() + _SCHEDULE_WAITS_S
    try:
        while True:
            try:
                return _serve_alone(desk, text, lane)
            except OverBudget as refused:
                if time.monotonic() + refused.wait_s > ends_at:
                    return _Became.PUT_OFF
                time.sleep(refused.wait_s)
    except RedisDown:
        log.warning("want_not_served", want=text)
        return _Became.UNCHANGED


def _serve_alone(desk: Desk, text: str, lane: Lane) -> _Became:
    """Serve one want, unless another worker is at it.

    Raises:
        OverBudget: the schedule may make no call now. That is no fact about the want.
        RedisDown: nobody can be told what became of it.
    """
    token = desk.wanted.begin(text)
    if token is None:
        return _Became.UNCHANGED  # who is at it will announce it to all
    try:
        settled = desk.wanted.find_outcome(text)
        if settled is None:
            return _settle(desk, text, lane)
        desk.wanted.announce(text, settled)
        return _Became.UNCHANGED
    finally:
        desk.wanted.end(text, token)


def _settle(desk: Desk, text: str, lane: Lane) -> _Became:
    try:
        calls = Calls(desk.budget, desk.plan, lane=lane, on_the_way_s=desk.on_the_way_s)
        saved = _refresh(desk, parse_want(text), calls)
    except RedisDown:
        raise
    except AppError as error:
        if isinstance(error, OverBudget) and lane is not Lane.INTERACTIVE:
            raise
        log.info("want_failed", want=text, code=error.code)
        desk.wanted.post(text, outcomes.describe(error), life_s=outcomes.life_s(error))
        return _Became.UNCHANGED
    except Exception:  # noqa: BLE001 - the outermost loop of one want: the others go on
        log.exception("want_failed", want=text)
        desk.wanted.post(text, outcomes.describe(AppError("internal")), life_s=freshness.FAILED_S)
        return _Became.UNCHANGED
    desk.wanted.post(text, {"code": outcomes.OK}, life_s=desk.settled_s)
    return _Became.CHANGED if saved.changed else _Became.UNCHANGED


def _refresh(desk: Desk, want: Want, calls: Calls) -> Saved:
    return _REFRESHES[want.kind](desk, calls, want)


_REFRESHES: dict[Kind, Callable[[Desk, Calls, Want], Saved]] = {
    Kind.QUOTE: lambda desk, calls, want: refresh_quote(desk, calls, want.subject),
    Kind.COMPANY: lambda desk, calls, want: refresh_company(desk, calls, want.subject),
    Kind.NEWS: refresh_news,
    Kind.FOREX: lambda desk, calls, want: refresh_forex(desk, calls, want.subject),
    Kind.SEARCH: lambda desk, calls, want: refresh_search(desk, calls, want.subject),
    Kind.STATUS: lambda desk, calls, _want: refresh_status(desk, calls),
    Kind.HOLIDAYS: lambda desk, calls, _want: refresh_holidays(desk, calls),
    Kind.SYMBOLS: lambda desk, calls, want: refresh_symbols(desk, calls, want.subject),
}
