"""Roll quotes up into bars, then let the old ones go: in small steps, each a transaction.

A quote is deleted only after the step that put it into its bars has committed, and that step moves
the symbol's mark in the same transaction: no crash loses a quote or counts it twice.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, failpoints
from infra.db import Database, transact
from market import aggregates, bars
from market.bars import QuoteBar, QuoteRoll, Sample
from market.models import Instrument, Quote

STEP = 500
SYMBOLS_AT_ONCE = 100
PRUNE_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long quotes, minute bars and hour bars are kept, by the provider's time."""

    quotes: timedelta
    minute_bars: timedelta
    hour_bars: timedelta


@dataclass(frozen=True, slots=True)
class Done:
    """What one run did to how many rows; `left` if it ended by its time, after a step at least."""

    rows: int
    left: bool


def roll_up(database: Database, *, run_s: float, step: int = STEP) -> Done:
    """Put quotes that are in no bar yet into their bars, for at most about `run_s` seconds.

    Safe to repeat and to run twice at once: a symbol's mark is locked, and moves with its bars.
    """
    return _work_through(
        lambda: transact(database.reads, _list_behind),
        lambda symbol: transact(
            database.sessions, lambda session: _roll_step(session, symbol, step)
        ),
        step=step,
        run_s=run_s,
    )


def prune(
    database: Database,
    retention: Retention,
    *,
    run_s: float,
    step: int = STEP,
    now: datetime | None = None,
) -> Done:
    """Delete what is older than it is kept, for at most about `run_s` seconds; hourly per symbol.

    The quote that an instrument shows at present stays, however old.
    """
    return _work_through(
        lambda: transact(database.reads, lambda session: _list_unpruned(session, now)),
        lambda symbol: transact(
            database.sessions, lambda session: _prune_step(session, symbol, retention, step, now)
        ),
        step=step,
        run_s=run_s,
    )


def _work_through(
    find: Callable[[], list[str]], work: Callable[[str], int], *, step: int, run_s: float
) -> Done:
    """Work on each symbol found until a step does less than it could; find again if there are more.

    What comes in meanwhile is left to the next run: a busy symbol must not keep this one going.
    """
    ends_at = time.monotonic() + run_s
    rows = 0
    while symbols := find():
        for symbol in symbols:
            done = step
            while done >= step:
                done = work(symbol)
                rows += done
                failpoints.reach("rolling.committed")
                if time.monotonic() > ends_at:
                    return Done(rows, left=True)
        if len(symbols) < SYMBOLS_AT_ONCE:
            break
    return Done(rows, left=False)


def _list_behind(session: Session) -> list[str]:
    """List what is behind, furthest first: when there is too much to do, all wait alike."""
    behind = Instrument.version - sa.func.coalesce(QuoteRoll.version, 0)
    return list(
        session.scalars(
            sa.select(Instrument.symbol)
            .outerjoin(QuoteRoll, QuoteRoll.symbol == Instrument.symbol)
            .where(behind > 0)
            .order_by(behind.desc())
            .limit(SYMBOLS_AT_ONCE)
        )
    )


def _roll_step(session: Session, symbol: str, step: int) -> int:
    roll = aggregates.lock(session, QuoteRoll, symbol)
    # Read before the quotes: those of this version are then among what is read.
    version = session.scalars(
        sa.select(Instrument.version).where(Instrument.symbol == symbol)
    ).one()
    rows = session.execute(
        sa.select(Quote.id, Quote.provider_time, Quote.price, Quote.source)
        .where(Quote.symbol == symbol, Quote.id > roll.quote_id)
        .order_by(Quote.id)
        .limit(step)
    ).all()
    failpoints.reach("roll.read")
    bars.fold(session, symbol=symbol, samples=(Sample(*row[1:]) for row in rows))
    session.flush()
    failpoints.reach("roll.folded")
    if rows:
        roll.quote_id = rows[-1].id
    if len(rows) < step:
        roll.version = version
    session.flush()
    failpoints.reach("roll.marked")
    return len(rows)


def _list_unpruned(session: Session, now: datetime | None) -> list[str]:
    before = (now or clock.now(session)) - PRUNE_EVERY
    return list(
        session.scalars(
            sa.select(QuoteRoll.symbol)
            .where(sa.or_(QuoteRoll.pruned_at.is_(None), QuoteRoll.pruned_at <= before))
            .order_by(QuoteRoll.pruned_at, QuoteRoll.symbol)
            .limit(SYMBOLS_AT_ONCE)
        )
    )


def _prune_step(
    session: Session, symbol: str, retention: Retention, step: int, now: datetime | None
) -> int:
    now = now or clock.now(session)
    roll = aggregates.lock(session, QuoteRoll, symbol)
    deleted = _delete_quotes(session, roll, before=now - retention.quotes, limit=step)
    failpoints.reach("prune.deleted")
    for minutes, kept in ((bars.MINUTE, retention.minute_bars), (bars.HOUR, retention.hour_bars)):
        if deleted < step:
            deleted += _delete_bars(
                session, symbol, minutes, before=now - kept, limit=step - deleted
            )
    if deleted < step:
        roll.pruned_at = now
    session.flush()
    failpoints.reach("prune.marked")
    return deleted


def _delete_quotes(session: Session, roll: QuoteRoll, *, before: datetime, limit: int) -> int:
    # A row that is not the present one never becomes it again: the same figures would come as a
    # new row.
    present = (
        sa.select(Instrument.provider_time)
        .where(Instrument.symbol == roll.symbol)
        .scalar_subquery()
    )
    ids = session.scalars(
        sa.select(Quote.id)
        .where(
            Quote.symbol == roll.symbol,
            Quote.provider_time < before,
            Quote.provider_time != present,
            Quote.id <= roll.quote_id,
        )
        .order_by(Quote.provider_time)
        .limit(limit)
    ).all()
    if ids:
        session.execute(sa.delete(Quote).where(Quote.id.in_(ids)))
    return len(ids)


def _delete_bars(
    session: Session, symbol: str, minutes: int, *, before: datetime, limit: int
) -> int:
    mine = sa.and_(QuoteBar.symbol == symbol, QuoteBar.minutes == minutes)
    starts = session.scalars(
        sa.select(QuoteBar.start_at)
        .where(mine, QuoteBar.start_at < before)
        .order_by(QuoteBar.start_at)
        .limit(limit)
    ).all()
    if starts:
        session.execute(sa.delete(QuoteBar).where(mine, QuoteBar.start_at <= starts[-1]))
    return len(starts)
