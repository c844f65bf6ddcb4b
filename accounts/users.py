"""Users: who may sign in, under which name and role."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from accounts import families
from accounts.callers import Caller
from accounts.tables import Role, User
from infra import clock
from infra.db import is_duplicate
from infra.errors import Conflict, NotFound

DEMO_ADMIN = Caller(user_id=1, role=Role.ADMIN)
_DEMO_EMAIL = "demo@tradepost.local"


class EmailTaken(Conflict):
    """Another user has this e-mail address."""

    code = "email_taken"

    def __init__(self) -> None:
        super().__init__("There is already a user with this e-mail address.")


class UserNotFound(NotFound):
    """No such user, or none that this caller may see."""

    code = "user_not_found"

    def __init__(self, user_id: int) -> None:
        super().__init__(f"There is no user {user_id}.", user_id=user_id)


class NoSuchAddress(NotFound):
    """No user has this e-mail address."""

    code = "user_not_found"

    def __init__(self) -> None:
        super().__init__("There is no user with this e-mail address.")


class LastAdmin(Conflict):
    """Without this user nobody could administer any more."""

    code = "last_admin"

    def __init__(self) -> None:
        super().__init__("This is the last admin: make somebody else an admin first.")


@dataclass(frozen=True, slots=True)
class Profile:
    """A user as others may know him."""

    id: int
    email: str
    name: str
    role: Role
    is_disabled: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Login:
    """What a sign-in is checked against."""

    user_id: int
    password_hash: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Changes:
    """What to change about a user; None leaves it."""

    email: str | None = None
    name: str | None = None
    role: Role | None = None
    is_disabled: bool | None = None

    @property
    def takes_rights(self) -> bool:
        """Tell whether an admin would be one no longer."""
        return self.is_disabled is True or self.role not in (None, Role.ADMIN)


def register(
    session: Session, *, email: str, name: str, password_hash: str, role: Role = Role.USER
) -> Profile:
    """Add a user.

    Raises:
        EmailTaken: another user has the address, whatever its capitals.
    """
    now = clock.now(session)
    user = User(
        email=normalised(email),
        name=name,
        password_hash=password_hash,
        role=role,
        created_at=now,
        updated_at=now,
    )
    session.add(user)
    _flush(session)
    return _profile(user)


def ensure_demo_admin(session: Session) -> None:
    """Give the embedded run its user 1; nothing happens when there is a user 1.

    Nobody can sign in as this user: it is only what a caller on the same machine is taken for.
    """
    if session.get(User, DEMO_ADMIN.user_id) is not None:
        return
    now = clock.now(session)
    session.add(
        User(
            id=DEMO_ADMIN.user_id,
            email=_DEMO_EMAIL,
            name="Demo admin",
            role=DEMO_ADMIN.role,
            created_at=now,
            updated_at=now,
        )
    )
    _flush(session)


def get(session: Session, user_id: int) -> Profile:
    """Get a user.

    Raises:
        UserNotFound: there is none of this id.
    """
    return _profile(_get(session, user_id))


def get_by_email(session: Session, email: str) -> Profile:
    """Get the user who has an address.

    Raises:
        NoSuchAddress: nobody has it.
    """
    user = session.scalar(sa.select(User).where(User.email == normalised(email)))
    if user is None:
        raise NoSuchAddress
    return _profile(user)


def find_login(session: Session, *, email: str) -> Login | None:
    """Find what a sign-in with this address is checked against; None if nobody may sign in."""
    user = session.scalar(
        sa.select(User).where(User.email == normalised(email), User.disabled_at.is_(None))
    )
    return None if user is None else Login(user_id=user.id, password_hash=user.password_hash)


def list_users(session: Session, *, below: int | None, limit: int) -> Sequence[Profile]:
    """List users, newest first, with ids below `below`."""
    query = sa.select(User).order_by(User.id.desc()).limit(limit)
    if below is not None:
        query = query.where(User.id < below)
    return [_profile(user) for user in session.scalars(query)]


def update(session: Session, user_id: int, *, changes: Changes) -> Profile:
    """Change what `changes` names.

    Raises:
        UserNotFound: there is no user of this id.
        EmailTaken: another user has the address.
        LastAdmin: nobody else could administer.
    """
    user = _get(session, user_id)
    if changes.takes_rights:
        _keep_an_admin(session, user)
    now = clock.now(session)
    user.email = user.email if changes.email is None else normalised(changes.email)
    user.name = user.name if changes.name is None else changes.name
    user.role = changes.role or user.role
    if changes.is_disabled is not None:
        user.disabled_at = (user.disabled_at or now) if changes.is_disabled else None
    if changes.is_disabled:
        families.end_all(session, user.id, now=now)
    user.updated_at = now
    _flush(session)
    return _profile(user)


def delete(session: Session, user_id: int) -> None:
    """Remove a user; his tokens count no longer, his id is never given again.

    Raises:
        UserNotFound: there is no user of this id.
        LastAdmin: nobody else could administer.
    """
    user = _get(session, user_id)
    _keep_an_admin(session, user)
    session.delete(user)


def normalised(email: str) -> str:
    """Bring an address to the form under which it is stored and unique."""
    return email.strip().lower()


def _get(session: Session, user_id: int) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise UserNotFound(user_id)
    return user


def _keep_an_admin(session: Session, leaving: User) -> None:
    if leaving.role is not Role.ADMIN or leaving.disabled_at is not None:
        return
    # All admins are locked, in one order, so that two cannot remove each other at once.
    admins = session.scalars(
        sa.select(User.id)
        .where(User.role == Role.ADMIN, User.disabled_at.is_(None))
        .order_by(User.id)
        .with_for_update()
    ).all()
    if set(admins) <= {leaving.id}:
        raise LastAdmin


def _flush(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        if is_duplicate(error):
            raise EmailTaken from error
        raise


def _profile(user: User) -> Profile:
    return Profile(
        id=user.id,
        email=user.email,
        name=user.name,
        role=user.role,
        is_disabled=user.disabled_at is not None,
        created_at=user.created_at,
        updated_at=user.updated_at,
    )
