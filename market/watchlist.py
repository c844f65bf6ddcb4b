"""Which symbols are kept fresh without being asked for each time."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from infra import clock
from infra.budget import Lane
from infra.db import transact
from market import freshness, quotes
from market.refresh import Desk
from market.wants import Kind, Want

# A third of a minute's calls is left to people, and some more to what pairs and profiles need.
_SHARE_OF_BUDGET = 0.5
MOST_RECENT = 100


def want_due(desk: Desk, *, symbols: Sequence[str], per_minute: int, every_s: float) -> int:
    """Want the quotes that are due, the longest unconfirmed first; return how many.

    Due are the configured symbols and those asked for in the last 15 minutes. Called every
    `every_s`, it wants at most half of what the budget allows in that time, so that a long list
    becomes less fresh instead of starving people who ask.

    Raises:
        RedisDown: nothing can be wanted.
    """
    recent = desk.wanted.list_recent(within_s=freshness.WATCHED_FOR_S, limit=MOST_RECENT)
    watched = list(dict.fromkeys([*symbols, *recent]))
    due = transact(desk.sessions, lambda session: _list_due(session, watched))
    limit = max(1, int(per_minute * _SHARE_OF_BUDGET * every_s / 60))
    wants: list[str] = []
    for symbol in due:
        want = Want(Kind.QUOTE, symbol).text
        if len(wants) == limit:
            break
        # Unknown symbols and failures of just now must not take the place of others.
        if desk.wanted.find_outcome(want) is None:
            wants.append(want)
    desk.wanted.add(wants, lane=Lane.SCHEDULED)
    return len(wants)


def _list_due(session: Session, symbols: Sequence[str]) -> list[str]:
    # The tick itself is not punctual to the second; what is due by the next one is due now.
    before = clock.now(session) - timedelta(seconds=freshness.WATCHED_EVERY_S - 1)
    confirmed = quotes.map_confirmed_at(session, symbols)
    never = datetime.min.replace(tzinfo=before.tzinfo)
    due = [symbol for symbol in symbols if confirmed.get(symbol, never) < before]
    return sorted(due, key=lambda symbol: confirmed.get(symbol, never))
