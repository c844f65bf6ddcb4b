from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from infra.db import Database, transact
from infra.outbox import Event
from market import news
from market.news import Span
from market.shapes import Article
from tests.support.figures import make_article

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
THAT_DAY = Span(date(2026, 11, 20), date(2026, 11, 20))


def save(database: Database, *articles: Article, feed: str = "AAPL") -> int:
    return transact(
        database.sessions,
        lambda session: news.save(session, feed=feed, articles=articles, source="finnhub"),
    )


def ids(
    database: Database, *, feed: str = "AAPL", span: Span = THAT_DAY, below: int | None = None
) -> list[int]:
    with database.reads() as session:
        found = news.list_stored(session, feed=feed, span=span, limit=2, below=below)
        return [article.provider_id for article in found]


def test_articles_are_stored_once_with_an_event_each(each_database: Database) -> None:
    save(each_database, make_article(1), make_article(2))

    added = save(each_database, make_article(2), make_article(3))

    with each_database.reads() as session:
        events = list(session.execute(sa.select(Event.subject, Event.version)))
    assert added == 1
    assert sorted(events) == [("news/1", 1), ("news/2", 1), ("news/3", 1)]


def test_one_article_may_stand_in_two_feeds(database: Database) -> None:
    save(database, make_article(1), feed="AAPL")
    save(database, make_article(1), feed="MSFT")

    assert ids(database, feed="AAPL") == ids(database, feed="MSFT") == [1]


def test_long_texts_are_kept_whole(database: Database) -> None:
    save(database, make_article(1, text="ß" * 5000))

    with database.reads() as session:
        (article,) = news.list_stored(session, feed="AAPL", span=THAT_DAY, limit=1, below=None)
    assert article.summary == "ß" * 5000


def test_pages_go_on_where_the_last_one_ended(each_database: Database) -> None:
    at = [NOON, NOON, NOON - timedelta(hours=1), NOON - timedelta(hours=2)]
    save(each_database, *(make_article(n, at=time) for n, time in enumerate(at, start=1)))
    with each_database.reads() as session:
        first_page = news.list_stored(session, feed="AAPL", span=THAT_DAY, limit=2, below=None)

    second_page = ids(each_database, below=news.key(first_page[-1]))

    assert [article.provider_id for article in first_page] == [2, 1]
    assert second_page == [3, 4]


def test_only_the_days_asked_for_are_listed(database: Database) -> None:
    midnight = datetime(2026, 11, 20, tzinfo=UTC)
    save(
        database,
        make_article(1, at=midnight - timedelta(seconds=1)),
        make_article(2, at=midnight),
        make_article(3, at=midnight + timedelta(days=1)),
    )

    assert ids(database) == [2]
