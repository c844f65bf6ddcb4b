"""Users as records: one's own, or all of them for an admin."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Response, status
from pydantic import EmailStr, Field, SecretStr
from starlette.concurrency import run_in_threadpool

from accounts import signin, users
from accounts.attempts import TooManyAttempts
from accounts.callers import Caller
from accounts.passwords import MAX_LENGTH
from accounts.signin import PasswordNeeded, WrongPassword
from accounts.tables import Role
from accounts.users import Changes, EmailTaken, LastAdmin, Profile, UserNotFound
from api.auth import Password, PersonName, UserOut
from api.bodies import Body
from api.deps import (
    Address,
    Admin,
    Collaborators,
    CurrentCaller,
    Kept,
    Reads,
    RoleRequired,
    RowId,
    Sessions,
    TokenRequired,
)
from api.errors import problems
from api.paging import BadCursor, Paging
from infra import db
from infra.db import transact
from infra.redis import RedisDown
from infra.turns import LineTooLong

router = APIRouter(prefix="/users", tags=["people"])


class NewUser(Body):
    """A user whom an admin adds."""

    email: EmailStr
    password: Password
    name: PersonName
    role: Role = Role.USER


class UserChange(Body):
    """What to change; what is left out stays. Only an admin changes role and access."""

    email: EmailStr | None = None
    name: PersonName | None = None
    role: Role | None = None
    is_disabled: bool | None = None
    current_password: Annotated[
        SecretStr | None,
        Field(max_length=MAX_LENGTH, description="Your password; for a new `email` of your own."),
    ] = None

    @property
    def needs_admin(self) -> bool:
        """Tell whether this is more than one may change about oneself."""
        return self.role is not None or self.is_disabled is not None

    def changes(self) -> Changes:
        """Put it as the business takes it."""
        return Changes(**self.model_dump(exclude={"current_password"}))

    def password(self) -> str | None:
        """Give the password that came with it."""
        given = self.current_password
        return None if given is None else given.get_secret_value()


class UserRecord(UserOut):
    """A user, with what concerns his access."""

    is_disabled: bool
    updated_at: datetime


@router.get("/", responses=problems(TokenRequired, RoleRequired, BadCursor))
def list_users(_: Admin, page: Paging, reads: Reads) -> Sequence[UserRecord]:
    """List users, newest first. Admins only."""
    with reads() as session:
        found = users.list_users(session, below=page.below, limit=page.fetch)
    return [UserRecord.of(profile) for profile in page.show(found, key=lambda user: user.id)]


@router.post(
    "/",
    status_code=status.HTTP_201_CREATED,
    responses=problems(TokenRequired, RoleRequired, EmailTaken, LineTooLong),
)
async def add_user(
    body: NewUser, _: Admin, kept: Kept, sessions: Sessions, response: Response
) -> UserRecord:
    """Add a user with a role. Admins only."""

    def work() -> Profile:
        hashed = kept.gate.passwords.hash(body.password.get_secret_value())
        return transact(
            sessions,
            lambda session: users.register(
                session, email=body.email, name=body.name, password_hash=hashed, role=body.role
            ),
        )

    profile = await kept.password_turns.take(work)
    response.headers["Location"] = f"/users/{profile.id}"
    return UserRecord.of(profile)


@router.get("/{user_id}", responses=problems(TokenRequired, UserNotFound))
def show_user(user_id: RowId, caller: CurrentCaller, reads: Reads) -> UserRecord:
    """Show a user: yourself, or anybody for an admin."""
    _check_may_see(caller, user_id)
    with reads() as session:
        return UserRecord.of(users.get(session, user_id))


@router.patch(
    "/{user_id}",
    responses=problems(
        TokenRequired,
        RoleRequired,
        UserNotFound,
        EmailTaken,
        LastAdmin,
        PasswordNeeded,
        WrongPassword,
        TooManyAttempts,
        RedisDown,
        LineTooLong,
    ),
)
async def change_user(
    user_id: RowId,
    body: UserChange,
    caller: CurrentCaller,
    kept: Kept,
    sessions: Sessions,
    address: Address,
) -> UserRecord:
    """Change a user: yourself, or anybody for an admin. A new address of your own takes a password.

    As with a new password, ten wrong ones lock the account for the address they came from.
    """
    _check_may_see(caller, user_id)
    if body.needs_admin and not caller.is_admin:
        raise RoleRequired("admin")
    if caller.user_id == user_id and body.email is not None:
        return UserRecord.of(await _change_own(kept, caller, body, sessions, address))
    change = partial(users.update, user_id=user_id, changes=body.changes())
    return UserRecord.of(await run_in_threadpool(transact, sessions, change))


@router.delete(
    "/{user_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(TokenRequired, UserNotFound, LastAdmin),
)
def remove_user(user_id: RowId, caller: CurrentCaller, sessions: Sessions) -> None:
    """Remove a user: yourself, or anybody for an admin. Orders and payments stay."""
    _check_may_see(caller, user_id)
    transact(sessions, lambda session: users.delete(session, user_id))


def _check_may_see(caller: Caller, user_id: int) -> None:
    if not caller.is_admin and caller.user_id != user_id:
        raise UserNotFound(user_id)


async def _change_own(
    kept: Collaborators, caller: Caller, body: UserChange, sessions: db.Sessions, address: str
) -> Profile:
    """Change oneself, with an address: checking the password takes a turn."""
    return await kept.password_turns.take(
        lambda: signin.change_own(
            kept.database,
            kept.gate,
            caller,
            changes=body.changes(),
            current=body.password(),
            address=address,
            sessions=sessions,
        )
    )
