"""Which symbols are kept fresh without being asked for each time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from infra import clock
from infra.db import is_duplicate, transact
from infra.errors import Conflict, NotFound
from infra.sharing.budget import Lane
from market import freshness, polling, quotes, references
from market.hours import Hours
from market.models import Watched
from market.polling import HOLIDAYS_EVERY_S, SYMBOLS_EVERY_S, Watch
from market.refresh import Desk
from market.wants import Kind, Want

# A third of a minute's calls is left to people, and some more to what pairs and profiles need.
_SHARE_OF_BUDGET = 0.5
# Another beat's tick in so much of the interval is the same turn.
_SAME_TURN = 0.6
MOST_RECENT = 100
MOST_STORED = 500


class Origin(StrEnum):
    """Why a symbol is watched."""

    CONFIGURED = "configured"
    STORED = "stored"
    RECENT = "recent"


class NotWatched(NotFound):
    """The symbol is not on the watchlist."""

    code = "not_watched"

    def __init__(self, symbol: str) -> None:
        super().__init__(f"{symbol} is not on the watchlist.", symbol=symbol)


class ConfiguredSymbol(Conflict):
    """The symbol is on the watchlist by configuration, which no call changes."""

    code = "configured_symbol"

    def __init__(self, symbol: str) -> None:
        super().__init__(
            f"{symbol} is on the watchlist by the setting WATCHLIST: change it there.",
            symbol=symbol,
        )


class WatchlistFull(Conflict):
    """The watchlist holds as many symbols as it may."""

    code = "watchlist_full"

    def __init__(self) -> None:
        super().__init__(f"The watchlist holds {MOST_STORED} symbols already: remove one first.")


@dataclass(frozen=True, slots=True)
class Entry:
    """A watched symbol, why, and since when if somebody has put it there."""

    symbol: str
    origin: Origin
    added_at: datetime | None = None
    added_by: int | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """What stands on the watchlist now, and whether it was put there just now."""

    entry: Entry
    is_new: bool


def put(session: Session, symbol: str, *, added_by: int | None, configured: Sequence[str]) -> Put:
    """Put a symbol on the watchlist, also one that is configured. Safe to repeat.

    Raises:
        WatchlistFull: there is no room.
    """
    is_new = session.get(Watched, symbol) is None
    if is_new:
        if (session.scalar(sa.select(sa.func.count()).select_from(Watched)) or 0) >= MOST_STORED:
            raise WatchlistFull
        is_new = _insert(session, symbol, added_by)
    entries = list_entries(session, configured=configured)
    return Put(next(entry for entry in entries if entry.symbol == symbol), is_new)


def remove(session: Session, symbol: str, *, configured: Sequence[str]) -> None:
    """Take a symbol off the watchlist.

    Raises:
        NotWatched: it is not on it.
        ConfiguredSymbol: it is, but by configuration only.
    """
    watched = session.get(Watched, symbol)
    if watched is not None:
        session.delete(watched)
    elif symbol in configured:
        raise ConfiguredSymbol(symbol)
    else:
        raise NotWatched(symbol)


def list_entries(
    session: Session, *, configured: Sequence[str], recent: Sequence[str] = ()
) -> list[Entry]:
    """List the watched symbols: configured ones, stored ones by name, then those asked for lately.

    A symbol that is there for two reasons is shown with the one that is hardest to change.
    """
    stored = session.scalars(sa.select(Watched).order_by(Watched.symbol))
    found = {symbol: Entry(symbol, Origin.CONFIGURED) for symbol in configured}
    for one in stored:
        kept = Entry(one.symbol, Origin.STORED, one.added_at, one.added_by)
        found.setdefault(one.symbol, kept)
    for symbol in recent:
        found.setdefault(symbol, Entry(symbol, Origin.RECENT))
    return list(found.values())


def want_due(
    desk: Desk,
    *,
    symbols: Sequence[str],
    per_minute: int,
    every_s: float,
    now: datetime | None = None,
) -> int:
    """Want what is due of the watched, the latest first; return how much.

    Called every `every_s`, it wants at most half of what the budget allows in that time, so that a
    long list becomes less fresh instead of starving people who ask. Of several callers in that
    time one has the turn, and the others find nothing to do.

    Raises:
        RedisDown: nothing can be wanted.
    """
    if not desk.wanted.claim_turn(for_s=every_s * _SAME_TURN):
        return 0
    recent = desk.wanted.list_recent(within_s=freshness.WATCHED_FOR_S, limit=MOST_RECENT)
    known = transact(desk.sessions, lambda session: _read(session, symbols, recent))
    now = now or known.now
    limit = max(1, int(per_minute * _SHARE_OF_BUDGET * every_s / 60))
    # Unknown symbols and failures of just now must not take the place of others.
    wanted = [
        watch.want
        for watch in polling.choose(_watches(desk, known, now), now=now, limit=2 * limit)
        if desk.wanted.find_outcome(watch.want) is None
    ][:limit]
    desk.wanted.note_polled(wanted)
    desk.wanted.add(wanted, lane=Lane.SCHEDULED)
    return len(wanted)


def _insert(session: Session, symbol: str, added_by: int | None) -> bool:
    """Write the row; False if somebody else was a moment faster."""
    try:
        with session.begin_nested():
            session.add(Watched(symbol=symbol, added_by=added_by, added_at=clock.now(session)))
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Known:
    """What the tables tell of the watched."""

    now: datetime
    hours: Hours
    symbols: list[str]
    confirmed_at: Mapping[str, datetime]
    references: Mapping[str, datetime]


def _read(session: Session, configured: Sequence[str], recent: Sequence[str]) -> _Known:
    hours = Hours()
    references.read_hours(session, hours)
    entries = list_entries(session, configured=configured, recent=recent)
    symbols = [entry.symbol for entry in entries]
    return _Known(
        now=clock.now(session),
        hours=hours,
        symbols=symbols,
        confirmed_at=quotes.map_confirmed_at(session, symbols),
        references=references.map_fetched_at(session, _REFERENCES),
    )


def _watches(desk: Desk, known: _Known, now: datetime) -> list[Watch]:
    texts = {symbol: Want(Kind.QUOTE, symbol).text for symbol in known.symbols}
    polled = desk.wanted.map_polled([*texts.values(), *_REFERENCES])

    def last_at(text: str, confirmed_at: datetime | None) -> datetime | None:
        polled_at = datetime.fromtimestamp(polled[text], UTC) if text in polled else None
        return max((at for at in (confirmed_at, polled_at) if at is not None), default=None)

    status_at = last_at(references.STATUS, known.references.get(references.STATUS))
    watches = [polling.watch_status(last_at=status_at, hours=known.hours, now=now)]
    for name, every_s in _SELDOM.items():
        watches.append(Watch(name, every_s, last_at(name, known.references.get(name))))
    for symbol, text in texts.items():
        at = last_at(text, known.confirmed_at.get(symbol))
        watches.append(polling.watch_quote(symbol, last_at=at, hours=known.hours, now=now))
    return watches


# References are wanted under the names that they are kept under.
_SELDOM = {
    references.HOLIDAYS: HOLIDAYS_EVERY_S,
    **{references.symbols_of(exchange): SYMBOLS_EVERY_S for exchange in references.EXCHANGES},
}
_REFERENCES = (references.STATUS, *_SELDOM)
