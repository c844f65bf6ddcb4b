"""The refresh of exchange rates: the provider's table, or single pairs where the plan lacks it."""

from collections import deque
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.orm import Session

from infra import clock
from infra.db import transact
from infra.logs import log
from infra.sharing.budget import Lane
from market import forex, freshness, quotes, refresh
from market.calls import Calls
from market.entitlements import Errand
from market.forex import Rates
from market.models import Quote
from market.quotes import Saved
from market.refresh import Desk
from market.upstream import BadAnswer, NoAccess, UnknownSymbol, UpstreamFailed
from market.wants import Kind, Want


def refresh_forex(desk: Desk, calls: Calls, base: str) -> Saved:
    """Refresh the exchange rates of a base currency.

    The plan's refusal of the table is remembered for an hour. From single pairs the table may come
    out partial: the pairs that the budget did not allow are wanted in the background.

    Raises:
        UnknownSymbol: the provider knows no such currency.
        UpstreamFailed: there is no usable answer now; what is stored stays.
    """
    rates = _find_table(desk, calls, base) or _rates_from_pairs(desk, calls, base)
    saved = transact(
        desk.sessions,
        lambda session: forex.save(session, base=base, rates=rates, source=desk.source),
    )
    refresh.keep_forex(desk, base, saved.document)
    return saved


def _find_table(desk: Desk, calls: Calls, base: str) -> Rates | None:
    try:
        by_currency = calls.make(
            Errand.about(forex.VIA_RATES, base),
            lambda left_s: desk.finnhub.forex_rates(base, within_s=left_s),
        )
    except NoAccess:
        return None
    return Rates(by_currency, forex.VIA_RATES, provider_time=None)


def _rates_from_pairs(desk: Desk, calls: Calls, base: str) -> Rates:
    pairs = forex.pairs_for(base)
    failure = _freshen(desk, calls, pairs)
    recent = _read_recent(desk, pairs, within_s=2 * freshness.FOREX_S)
    rates = forex.cross(base, {pair: quote.price for pair, quote in recent.items()})
    if rates is None:
        raise failure or UnknownSymbol(base)
    oldest = min(quote.provider_time for quote in recent.values())
    return Rates(rates, forex.VIA_QUOTES, provider_time=oldest)


def _freshen(desk: Desk, calls: Calls, pairs: Sequence[str]) -> UpstreamFailed | None:
    """Refresh the pairs that need it, as many as may be; return the last failure, if any."""
    recent = _read_recent(desk, pairs, within_s=freshness.FOREX_S)
    missing = deque(pair for pair in pairs if pair not in recent)
    failure: UpstreamFailed | None = None
    while missing:
        try:
            refresh.refresh_quote(desk, calls, forex.pair_symbol(missing[0]))
        except UnknownSymbol:
            log.warning("forex_pair_unknown", pair=missing[0])
        except BadAnswer as bad:
            failure = bad
        except UpstreamFailed as failed:
            failure = failed
            break
        missing.popleft()
    later = [Want(Kind.QUOTE, forex.pair_symbol(pair)).text for pair in missing]
    desk.wanted.add(later, lane=Lane.SCHEDULED)
    return failure


def _read_recent(desk: Desk, pairs: Sequence[str], *, within_s: int) -> dict[str, Quote]:
    def read(session: Session) -> dict[str, Quote]:
        since = clock.now(session) - timedelta(seconds=within_s)
        symbols = [forex.pair_symbol(pair) for pair in pairs]
        return quotes.map_confirmed_since(session, symbols, since=since)

    found = transact(desk.sessions, read)
    return {pair: found[symbol] for pair in pairs if (symbol := forex.pair_symbol(pair)) in found}
