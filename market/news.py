"""News: every article once, listed under each feed that it was found in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.outbox import Change
from market import events
from market.documents import Document, instant
from market.models import News, NewsListing
from market.shapes import Article

# Symbols are upper case, so no symbol is called that.
GENERAL = "general"
_CHUNK = 500
_ID_BITS = 31


@dataclass(frozen=True, slots=True)
class Span:
    """Days that news are wanted of, both included, in UTC."""

    first: date
    last: date


def save(session: Session, *, feed: str, articles: Sequence[Article], source: str) -> int:
    """Store the articles that are new, an event for each; return how many there were.

    Safe to repeat. When two feeds bring the same article at once, the unique key refuses the slower
    one, which has to be run again.
    """
    ids = _ids_by_provider_id(session, articles)
    fresh = [article for article in articles if article.provider_id not in ids]
    if fresh:
        _insert(session, fresh, source)
        ids |= _ids_by_provider_id(session, fresh)
    _list_under(session, feed, articles, ids)
    outbox.record(session, [_published(article) for article in fresh])
    return len(fresh)


def list_stored(
    session: Session, *, feed: str, span: Span, limit: int, below: int | None
) -> list[News]:
    """List a feed's articles of some days, newest first, those with keys `below` one of `key`."""
    start, end = _bounds(span)
    query = (
        sa.select(News)
        .join(NewsListing, NewsListing.news_id == News.id)
        .where(NewsListing.feed == feed)
        .where(NewsListing.published_at >= start, NewsListing.published_at < end)
        .order_by(NewsListing.published_at.desc(), NewsListing.news_id.desc())
        .limit(limit)
    )
    if below is not None:
        at, news_id = datetime.fromtimestamp(below >> _ID_BITS, UTC), below & (2**_ID_BITS - 1)
        query = query.where(
            sa.or_(
                NewsListing.published_at < at,
                sa.and_(NewsListing.published_at == at, NewsListing.news_id < news_id),
            )
        )
    return list(session.scalars(query))


def find_stored(session: Session, *, feed: str, span: Span) -> Document | None:
    """Find when a feed's latest stored article of some days was fetched; None if there is none."""
    found = list_stored(session, feed=feed, span=span, limit=1, below=None)
    if not found:
        return None
    return describe_fetch(found[0].fetched_at, found[0].source)


def describe_fetch(at: datetime, source: str) -> Document:
    """Tell of a list of articles when and where it was fetched."""
    return {"as_of": instant(at), "fetched_at": instant(at), "source": source}


def key(news: News) -> int:
    """Make one number that sorts as (time, id) do; the provider's times are whole seconds."""
    return int(news.published_at.timestamp()) << _ID_BITS | news.id


def document(news: News | Article) -> Document:
    """Show an article under the provider's keys; `source` is its publisher, as there."""
    return {
        "id": news.provider_id,
        "category": news.category,
        "datetime": int(news.published_at.timestamp()),
        "headline": news.headline,
        "summary": news.summary,
        "url": news.url,
        "image": news.image,
        "related": news.related,
        "source": news.publisher,
    }


def _published(article: Article) -> Change:
    return Change(
        topic=events.NEWS,
        type=events.EventType.NEWS_PUBLISHED,
        subject=f"news/{article.provider_id}",
        version=1,
        data=document(article),
    )


def _ids_by_provider_id(session: Session, articles: Sequence[Article]) -> dict[int, int]:
    found: dict[int, int] = {}
    ids = [article.provider_id for article in articles]
    for start in range(0, len(ids), _CHUNK):
        rows = session.execute(
            sa.select(News.provider_id, News.id).where(
                News.provider_id.in_(ids[start : start + _CHUNK])
            )
        )
        found |= dict(rows.all())
    return found


def _insert(session: Session, articles: Sequence[Article], source: str) -> None:
    now = clock.now(session)
    rows = [
        {
            "provider_id": article.provider_id,
            "category": article.category,
            "related": article.related,
            "headline": article.headline,
            "summary": article.summary,
            "url": article.url,
            "image": article.image,
            "publisher": article.publisher,
            "published_at": article.published_at,
            "source": source,
            "fetched_at": now,
        }
        for article in articles
    ]
    session.execute(sa.insert(News), rows)


def _list_under(
    session: Session, feed: str, articles: Sequence[Article], ids: dict[int, int]
) -> None:
    wanted = {ids[article.provider_id]: article.published_at for article in articles}
    listed = set(
        session.scalars(
            sa.select(NewsListing.news_id).where(
                NewsListing.feed == feed, NewsListing.news_id.in_(wanted)
            )
        )
    )
    rows = [
        {"feed": feed, "news_id": news_id, "published_at": published_at}
        for news_id, published_at in wanted.items()
        if news_id not in listed
    ]
    if rows:
        session.execute(sa.insert(NewsListing), rows)


def _bounds(span: Span) -> tuple[datetime, datetime]:
    start = datetime.combine(span.first, time.min, UTC)
    return start, datetime.combine(span.last, time.min, UTC) + timedelta(days=1)
