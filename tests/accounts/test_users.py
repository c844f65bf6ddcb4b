from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from accounts import users
from accounts.tables import Role, User
from accounts.users import DEMO_ADMIN, Changes, EmailTaken, LastAdmin, Profile, UserNotFound
from infra.db import Database, transact


def add(database: Database, email: str, *, role: Role = Role.USER) -> Profile:
    return transact(
        database.sessions,
        lambda session: users.register(
            session, email=email, name="Ada", password_hash="x", role=role
        ),
    )


def change(database: Database, user_id: int, changes: Changes) -> Profile:
    return transact(
        database.sessions, lambda session: users.update(session, user_id, changes=changes)
    )


def remove(database: Database, user_id: int) -> None:
    transact(database.sessions, lambda session: users.delete(session, user_id))


def look(database: Database, user_id: int) -> Profile:
    with database.reads() as session:
        return users.get(session, user_id)


def test_registered_user_is_found_again(each_database: Database) -> None:
    made = add(each_database, "ada@example.com")

    found = look(each_database, made.id)

    assert found == made
    assert (found.email, found.name, found.role) == ("ada@example.com", "Ada", Role.USER)
    assert found.created_at.utcoffset() == timedelta(0)


def test_address_is_unique_whatever_its_capitals(each_database: Database) -> None:
    add(each_database, "Ada@Example.com")

    with pytest.raises(EmailTaken):
        add(each_database, " ada@example.COM ")


def test_deleted_users_id_is_never_given_again(each_database: Database) -> None:
    first = add(each_database, "first@example.com")
    remove(each_database, first.id)

    second = add(each_database, "second@example.com")

    assert second.id > first.id


def test_list_is_newest_first_and_goes_on_below_a_key(sqlite_database: Database) -> None:
    ids = [add(sqlite_database, f"user{number}@example.com").id for number in range(4)]

    with sqlite_database.reads() as session:
        first = users.list_users(session, below=None, limit=2)
        second = users.list_users(session, below=first[-1].id, limit=2)

    assert [user.id for user in [*first, *second]] == sorted(ids, reverse=True)


def test_change_names_only_what_it_changes(each_database: Database) -> None:
    made = add(each_database, "ada@example.com")

    changed = change(each_database, made.id, Changes(name="Countess"))

    assert (changed.name, changed.email, changed.role) == ("Countess", made.email, made.role)
    assert changed.updated_at >= made.updated_at


def test_change_to_anothers_address_is_refused(each_database: Database) -> None:
    add(each_database, "ada@example.com")
    other = add(each_database, "bob@example.com")

    with pytest.raises(EmailTaken):
        change(each_database, other.id, Changes(email="ADA@example.com"))


def test_disabled_user_cannot_sign_in_until_enabled_again(sqlite_database: Database) -> None:
    made = add(sqlite_database, "ada@example.com")

    change(sqlite_database, made.id, Changes(is_disabled=True))
    with sqlite_database.reads() as session:
        while_disabled = users.find_login(session, email="ada@example.com")
    change(sqlite_database, made.id, Changes(is_disabled=False))
    with sqlite_database.reads() as session:
        afterwards = users.find_login(session, email="ada@example.com")

    assert while_disabled is None
    assert afterwards is not None


def test_unknown_user_is_not_found(sqlite_database: Database) -> None:
    with pytest.raises(UserNotFound):
        look(sqlite_database, 4711)


@pytest.mark.parametrize(
    "changes", [Changes(role=Role.USER), Changes(role=Role.OPERATOR), Changes(is_disabled=True)]
)
def test_last_admin_keeps_his_rights(each_database: Database, changes: Changes) -> None:
    admin = add(each_database, "admin@example.com", role=Role.ADMIN)

    with pytest.raises(LastAdmin):
        change(each_database, admin.id, changes)


def test_last_admin_is_not_deleted(each_database: Database) -> None:
    admin = add(each_database, "admin@example.com", role=Role.ADMIN)

    with pytest.raises(LastAdmin):
        remove(each_database, admin.id)


def test_disabled_admin_does_not_count_as_one(sqlite_database: Database) -> None:
    admin = add(sqlite_database, "admin@example.com", role=Role.ADMIN)
    other = add(sqlite_database, "other@example.com", role=Role.ADMIN)
    change(sqlite_database, other.id, Changes(is_disabled=True))

    with pytest.raises(LastAdmin):
        remove(sqlite_database, admin.id)


def test_one_of_two_admins_may_go(each_database: Database) -> None:
    admin = add(each_database, "admin@example.com", role=Role.ADMIN)
    other = add(each_database, "other@example.com", role=Role.ADMIN)

    remove(each_database, admin.id)

    assert look(each_database, other.id).role is Role.ADMIN


def test_demo_admin_is_user_1_and_made_once(sqlite_database: Database) -> None:
    transact(sqlite_database.sessions, users.ensure_demo_admin)
    transact(sqlite_database.sessions, users.ensure_demo_admin)

    found = look(sqlite_database, 1)

    assert (found.id, found.role, found.name) == (
        DEMO_ADMIN.user_id,
        Role.ADMIN,
        "Demo admin",
    )


def test_user_1_of_before_is_not_turned_into_the_demo_admin(sqlite_database: Database) -> None:
    def take_the_seat(session: Session) -> None:
        made = users.register(session, email="ada@example.com", name="Ada", password_hash="x")
        row = session.get(User, made.id)
        assert row is not None
        row.id = 1

    transact(sqlite_database.sessions, take_the_seat)
    transact(sqlite_database.sessions, users.ensure_demo_admin)

    assert look(sqlite_database, 1).role is Role.USER
