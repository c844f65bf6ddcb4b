from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from accounts import families, users
from accounts.callers import identify
from accounts.families import BadRefreshToken, Issued
from accounts.tables import RefreshToken, TokenFamily
from accounts.tokens import Signing, TokenRevoked
from accounts.users import Changes
from infra.db import Database, transact

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SIGNING = Signing(secret="a-signing-key-of-forty-characters-or-so!")


def add_user(database: Database) -> int:
    return transact(
        database.sessions,
        lambda session: users.register(
            session, email="ada@example.com", name="Ada", password_hash="x"
        ),
    ).id


def begin(database: Database, user_id: int, *, now: datetime = NOON) -> Issued:
    return transact(
        database.sessions,
        lambda session: families.begin(session, SIGNING, user_id=user_id, now=now),
    )


def refresh(database: Database, issued: Issued, *, now: datetime = NOON) -> Issued:
    return families.refresh(database.sessions, SIGNING, issued.refresh_token, now=now)


def counts(database: Database, issued: Issued) -> bool:
    with database.reads() as session:
        try:
            identify(session, SIGNING, issued.access_token, now=NOON)
        except TokenRevoked:
            return False
    return True


def test_each_refresh_token_leads_to_the_next(each_database: Database) -> None:
    first = begin(each_database, add_user(each_database))

    second = refresh(each_database, first)
    third = refresh(each_database, second)

    assert len({token.refresh_token for token in (first, second, third)}) == 3
    assert counts(each_database, third)


def test_used_refresh_token_ends_the_family_and_no_other(each_database: Database) -> None:
    user_id = add_user(each_database)
    stolen, other = begin(each_database, user_id), begin(each_database, user_id)
    newer = refresh(each_database, stolen)

    with pytest.raises(BadRefreshToken):
        refresh(each_database, stolen)

    assert not counts(each_database, newer)
    with pytest.raises(BadRefreshToken):
        refresh(each_database, newer)
    assert counts(each_database, refresh(each_database, other))


def test_of_many_at_once_one_gets_tokens_and_the_family_ends(database: Database) -> None:
    issued = begin(database, add_user(database))

    def attempt(_: int) -> Issued | None:
        try:
            return refresh(database, issued)
        except BadRefreshToken:
            return None

    with ThreadPoolExecutor(4) as pool:
        got = [answer for answer in pool.map(attempt, range(4)) if answer]

    assert len(got) == 1
    assert not counts(database, got[0])


def test_family_ends_by_itself(sqlite_database: Database) -> None:
    issued = begin(sqlite_database, add_user(sqlite_database))

    with pytest.raises(BadRefreshToken):
        refresh(sqlite_database, issued, now=NOON + timedelta(days=30))


@pytest.mark.parametrize("token", ["", "garbage", "é" * 100])
def test_refresh_token_that_is_not_ours_is_refused(sqlite_database: Database, token: str) -> None:
    with pytest.raises(BadRefreshToken):
        families.refresh(sqlite_database.sessions, SIGNING, token, now=NOON)


def test_disabled_user_refreshes_nothing(sqlite_database: Database) -> None:
    user_id = add_user(sqlite_database)
    issued = begin(sqlite_database, user_id)
    transact(
        sqlite_database.sessions,
        lambda session: users.update(session, user_id, changes=Changes(is_disabled=True)),
    )

    with pytest.raises(BadRefreshToken):
        refresh(sqlite_database, issued)


def test_nothing_is_left_of_a_removed_users_tokens(each_database: Database) -> None:
    user_id = add_user(each_database)
    refresh(each_database, begin(each_database, user_id))

    transact(each_database.sessions, lambda session: users.delete(session, user_id))

    with each_database.reads() as session:
        for table in (TokenFamily, RefreshToken):
            assert session.scalar(sa.select(sa.func.count()).select_from(table)) == 0


def test_families_whose_time_is_over_are_removed_at_the_next_sign_in(
    sqlite_database: Database,
) -> None:
    user_id = add_user(sqlite_database)
    begin(sqlite_database, user_id)

    begin(sqlite_database, user_id, now=NOON + timedelta(days=31))

    with sqlite_database.reads() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(TokenFamily)) == 1


def test_refresh_tokens_are_stored_as_hashes_only(sqlite_database: Database) -> None:
    issued = begin(sqlite_database, add_user(sqlite_database))

    with sqlite_database.reads() as session:
        [stored] = session.scalars(sa.select(RefreshToken.hash))

    assert len(stored) == 64
    assert issued.refresh_token not in stored
