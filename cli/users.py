"""`tradepost users`: the first admin, and who may do what when nobody can sign in."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.output import AsJson, show_json
from infra.errors import Invalid
from infra.settings import load_settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from accounts.users import Profile
    from infra.db import Database

app = typer.Typer(
    help="Add admins, list users, change what they may do.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_PAGE = 500

Email = Annotated[str, typer.Argument(help="The user's e-mail address.")]
# The values of `accounts.tables.Role`, which takes long to import.
RoleName = Literal["user", "operator", "admin"]


class NotUsable(Invalid):
    """What was given cannot be used."""

    code = "not_usable"


@app.command("create-admin")
def create_admin(
    email: Email,
    name: Annotated[str, typer.Option(help="The name to show.")] = "Admin",
) -> None:
    """Add an admin; the password is asked for, or read from standard input, never an argument."""
    # Slow to import, and every other command does without.
    from accounts import users  # noqa: PLC0415
    from accounts.audit import Doing, audited  # noqa: PLC0415
    from accounts.passwords import Passwords  # noqa: PLC0415
    from accounts.tables import Role  # noqa: PLC0415
    from infra.db import transact  # noqa: PLC0415

    address, shown = _checked_email(email), _checked_name(name)
    hashed = Passwords().hash(_read_password())

    def add(session: "Session") -> "Profile":
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


def _all_users() -> Iterator["Profile"]:
    from accounts import users  # noqa: PLC0415 - slow to import

    database, below = _open(), None
    while True:
        with database.reads() as session:
            page = users.list_users(session, below=below, limit=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        below = page[-1].id


@app.command("set-role")
def set_role(email: Email, role: Annotated[RoleName, typer.Argument(help="The new role.")]) -> None:
    """Change what a user may do; it counts from the next request on."""
    from accounts.tables import Role  # noqa: PLC0415 - slow to import

    changed = _change(email, command="set-role", role=Role(role))
    typer.echo(f"User {changed.id}, {changed.email}, is now {changed.role}.")


@app.command("disable")
def disable(email: Email) -> None:
    """Shut a user out and end all that he is signed in with, at once."""
    changed = _change(email, command="disable", is_disabled=True)
    typer.echo(f"User {changed.id}, {changed.email}, is shut out.")


def _change(email: str, *, command: str, **changes: Any) -> "Profile":  # noqa: ANN401 - as `Changes` takes them
    from accounts import users  # noqa: PLC0415 - slow to import
    from accounts.audit import Doing, audited  # noqa: PLC0415 - as above
    from infra.db import transact  # noqa: PLC0415 - as above

    database = _open()
    with database.reads() as session:
        found = users.get_by_email(session, email)
    doing = Doing(user_id=None, action=f"tradepost users {command}", subject=f"users/{found.id}")
    return transact(
        audited(database.sessions, doing),
        lambda session: users.update(session, found.id, changes=users.Changes(**changes)),
    )


def _open() -> "Database":
    from infra.db import open_database  # noqa: PLC0415 - slow to import

    return open_database(load_settings().database)


def _read_password() -> str:
    from accounts.passwords import MAX_LENGTH, MIN_LENGTH  # noqa: PLC0415 - slow to import

    if sys.stdin.isatty():
        password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise NotUsable(f"The password must have {MIN_LENGTH} to {MAX_LENGTH} characters.")
    return password


def _checked_email(email: str) -> str:
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 - slow to import

    try:
        return validate_email(email, check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise NotUsable(f"{email!r} is no e-mail address: {error}") from error


def _checked_name(name: str) -> str:
    from accounts.tables import NAME_LENGTH  # noqa: PLC0415 - slow to import

    shown = name.strip()
    if not (0 < len(shown) <= NAME_LENGTH and shown.isprintable()):
        raise NotUsable(f"The name must be one line of 1 to {NAME_LENGTH} characters.")
    return shown
