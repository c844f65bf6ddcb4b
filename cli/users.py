"""`tradepost users`: the first admin, and who may do what when nobody can sign in."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from email_validator import EmailNotValidError, validate_email
from sqlalchemy.orm import Session

from accounts import users
from accounts.audit import Doing, audited
from accounts.passwords import MAX_LENGTH, MIN_LENGTH, Passwords
from accounts.tables import NAME_LENGTH, Role
from accounts.users import Changes, Profile
from cli.output import AsJson, show_json
from infra.db import Database, open_database, transact
from infra.errors import Invalid
from infra.settings import load_settings

app = typer.Typer(
    help="Add admins, list users, change what they may do.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_PAGE = 500

Email = Annotated[str, typer.Argument(help="The user's e-mail address.")]


class NotUsable(Invalid):
    """What was given cannot be used."""

    code = "not_usable"


@app.command("create-admin")
def create_admin(
    email: Email,
    name: Annotated[str, typer.Option(help="The name to show.")] = "Admin",
) -> None:
    """Add an admin; the password is asked for, or read from standard input, never an argument."""
    address, shown = _checked_email(email), _checked_name(name)
    hashed = Passwords().hash(_read_password())

    def add(session: Session) -> Profile:
        return users.register(
            session, email=address, name=shown, password_hash=hashed, role=Role.ADMIN
        )

    database = _open()
    doing = Doing(user_id=None, action="tradepost users create-admin", subject=None)
    made = transact(audited(database.sessions, doing), add)
    typer.echo(f"User {made.id}, {made.email}, is an admin.")


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all users, newest first."""
    if as_json:
        show_json([asdict(user) for user in _all_users()])
        return
    for user in _all_users():
        state = "disabled" if user.is_disabled else "active"
        typer.echo(f"{user.id}\t{user.email}\t{user.role}\t{state}\t{user.name}")


def _all_users() -> Iterator[Profile]:
    database, below = _open(), None
    while True:
        with database.reads() as session:
            page = users.list_users(session, below=below, limit=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        below = page[-1].id


@app.command("set-role")
def set_role(email: Email, role: Annotated[Role, typer.Argument(help="The new role.")]) -> None:
    """Change what a user may do; it counts from the next request on."""
    changed = _change(email, Changes(role=role), command="set-role")
    typer.echo(f"User {changed.id}, {changed.email}, is now {changed.role}.")


@app.command("disable")
def disable(email: Email) -> None:
    """Shut a user out and end all that he is signed in with, at once."""
    changed = _change(email, Changes(is_disabled=True), command="disable")
    typer.echo(f"User {changed.id}, {changed.email}, is shut out.")


def _change(email: str, changes: Changes, *, command: str) -> Profile:
    database = _open()
    with database.reads() as session:
        found = users.get_by_email(session, email)
    doing = Doing(user_id=None, action=f"tradepost users {command}", subject=f"users/{found.id}")
    return transact(
        audited(database.sessions, doing),
        lambda session: users.update(session, found.id, changes=changes),
    )


def _open() -> Database:
    return open_database(load_settings().database)


def _read_password() -> str:
    if sys.stdin.isatty():
        password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise NotUsable(f"The password must have {MIN_LENGTH} to {MAX_LENGTH} characters.")
    return password


def _checked_email(email: str) -> str:
    try:
        return validate_email(email, check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise NotUsable(f"{email!r} is no e-mail address: {error}") from error


def _checked_name(name: str) -> str:
    shown = name.strip()
    if not (0 < len(shown) <= NAME_LENGTH and shown.isprintable()):
        raise NotUsable(f"The name must be one line of 1 to {NAME_LENGTH} characters.")
    return shown
