import subprocess

import pytest

from accounts import audit, users
from accounts.passwords import Passwords
from accounts.tables import Role
from infra.db import Database
from tests.support.forks import Forks

PASSWORD = "correct horse battery staple"


class Desk:
    """Somebody who types `tradepost users …` on a machine with this database."""

    def __init__(self, forks: Forks, url: str) -> None:
        self._forks, self._env = forks, {"DATABASE_URL": url}

    def users(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return self._forks.run("cli", "users", *arguments, env=self._env, typed=typed)


@pytest.fixture
def desk(forks: Forks, sqlite_url: str) -> Desk:
    return Desk(forks, sqlite_url)


def test_first_admin_is_made_and_every_step_is_written_down(
    desk: Desk, sqlite_database: Database
) -> None:
    made = desk.users("create-admin", "Root@Example.com", typed=f"{PASSWORD}\n")
    desk.users("create-admin", "second@example.com", "--name", "Second", typed=PASSWORD)
    changed = desk.users("set-role", "second@example.com", "operator")
    shut = desk.users("disable", "second@example.com")
    listed = desk.users("list")

    with sqlite_database.reads() as session:
        login = users.find_login(session, email="root@example.com")
        first, second = users.list_users(session, below=None, limit=9)[::-1]
        done = [
            (entry.user_id, entry.action, entry.subject)
            for entry in audit.list_entries(session, below=None, limit=9)
        ]
    assert (made.returncode, changed.returncode, shut.returncode) == (0, 0, 0), made.stderr
    assert login is not None
    assert Passwords().verify(PASSWORD, login.password_hash)
    assert (first.role, second.role, second.is_disabled) == (Role.ADMIN, Role.OPERATOR, True)
    assert listed.stdout.splitlines()[1].startswith(f"{first.id}\troot@example.com\tadmin\tactive")
    assert done[::-1] == [
        (None, "tradepost users create-admin", f"users/{first.id}"),
        (None, "tradepost users create-admin", f"users/{second.id}"),
        (None, "tradepost users set-role", f"users/{second.id}"),
        (None, "tradepost users disable", f"users/{second.id}"),
    ]


@pytest.mark.parametrize(
    ("arguments", "typed", "code", "sentence"),
    [
        (["create-admin", "root@example.com"], "short\n", 2, "The password must have 10 to 128"),
        (["create-admin", "nobody"], PASSWORD, 2, "'nobody' is no e-mail address"),
        (["create-admin", "a@example.com", "--name", "\x1b[1m"], PASSWORD, 2, "The name must be"),
        (["disable", "nobody@example.com"], "", 1, "There is no user with this e-mail address."),
    ],
)
def test_what_cannot_be_is_told_in_one_sentence(
    desk: Desk, arguments: list[str], typed: str, code: int, sentence: str
) -> None:
    done = desk.users(*arguments, typed=typed)

    assert done.returncode == code
    assert done.stderr.startswith(sentence)
    assert "Traceback" not in done.stderr
    assert PASSWORD not in done.stderr
