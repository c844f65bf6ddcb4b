"""How long each kind of answer counts as fresh, and how long failures are remembered."""

from market.sessions import Session

# A watched symbol is confirmed every 20 s, so its quote is always fresh.
QUOTE_S = 30
# While nothing trades, what was true a while ago still is.
RESTING_QUOTE_S = 5 * 60
FOREX_S = 60
NEWS_S = 5 * 60
COMPANY_S = 24 * 3600
SEARCH_S = 24 * 3600

WATCHED_FOR_S = 15 * 60

# A table that lacks pairs is asked for again soon.
PARTIAL_S = 5

# Within this time nothing is asked of the provider a second time.
SETTLED_S = 3
FAILED_S = 5
UNKNOWN_S = 10 * 60
NO_ACCESS_S = 3600

# How long answers stay in the cache, for callers who accept older ones.
CACHED_S = {
    "quote": 3600,
    "forex": 3600,
    "news": NEWS_S,
    "company": COMPANY_S,
    "search": 7 * 24 * 3600,
}

ASKER_WAITS_S = 3.0


def quote_s(session: Session) -> int:
    """Return for how many seconds a quote counts as fresh in a session, unless the asker says."""
    return RESTING_QUOTE_S if session is Session.CLOSED else QUOTE_S
