"""Signing in, a password for tokens; signing out; what else takes a password."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import families, tokens, users
from accounts.attempts import Attempts
from accounts.callers import Caller
from accounts.families import Issued
from accounts.passwords import Passwords
from accounts.tables import User
from accounts.tokens import Signing
from accounts.users import Changes, Login, Profile
from infra import clock
from infra.db import Database, Sessions, transact
from infra.errors import Forbidden, Invalid, Unauthenticated


class BadCredentials(Unauthenticated):
    """The address or the password is wrong; which one is not told."""

    code = "bad_credentials"

    def __init__(self) -> None:
        # `error` is what an OAuth2 client looks for (RFC 6749, 5.2).
        super().__init__("The e-mail address or the password is wrong.", error="invalid_grant")


class WrongPassword(Forbidden):
    """The present password is not the one given."""

    code = "wrong_password"

    def __init__(self) -> None:
        super().__init__("current_password: this is not your password.")


class PasswordNeeded(Invalid):
    """Whoever changes his own e-mail address has to give his password."""

    code = "password_needed"

    def __init__(self) -> None:
        super().__init__("current_password: a new e-mail address takes your password.")


@dataclass(frozen=True, slots=True)
class Gate:
    """What a sign-in is judged with."""

    passwords: Passwords
    signing: Signing
    attempts: Attempts


def sign_in(
    database: Database,
    gate: Gate,
    *,
    email: str,
    password: str,
    address: str,
    now: datetime | None = None,
) -> Issued:
    """Check a password and sign tokens; no transaction is open while the password is checked.

    Raises:
        BadCredentials: nobody may sign in with these.
        TooManyAttempts: this address has tried too often, or the account is locked.
        RedisDown: attempts cannot be counted, so none is allowed.
    """
    gate.attempts.check(account=email, address=address)
    with database.reads() as session:
        login = users.find_login(session, email=email)
    stored = login.password_hash if login else None
    if not gate.passwords.verify(password, stored) or login is None:
        gate.attempts.count_failure(account=email, address=address)
        raise BadCredentials
    gate.attempts.count_success(account=email, address=address)
    found = login
    return transact(database.sessions, lambda session: _begin(session, gate.signing, found, now))


def sign_out(
    session: Session, signing: Signing, token: str, *, now: datetime | None = None
) -> None:
    """End all tokens of the sign-in that an access token comes from; a repeat changes nothing.

    Raises:
        BadToken: it is not one of ours.
        TokenExpired: it has ended by itself.
    """
    now = now or clock.now(session)
    families.end(session, tokens.read(signing, token, now=now).family_id, now=now)


def change_password(
    database: Database, gate: Gate, caller: Caller, *, current: str, new: str, address: str
) -> None:
    """Give a caller a new password and end all his other sign-ins.

    Raises:
        WrongPassword: `current` is not his password.
        TooManyAttempts: this address has tried too often, or the account is locked.
        RedisDown: attempts cannot be counted, so none is allowed.
        UserNotFound: he has been removed meanwhile.
    """
    with database.reads() as session:
        email = users.get(session, caller.user_id).email
    login = _confirm(database, gate, email=email, password=current, address=address)
    hashed = gate.passwords.hash(new)
    transact(
        database.sessions, lambda session: _replace(session, login, hashed, kept=caller.family_id)
    )


def change_own(
    database: Database,
    gate: Gate,
    caller: Caller,
    *,
    changes: Changes,
    current: str | None,
    address: str,
    sessions: Sessions,
) -> Profile:
    """Change a caller's own record; a new e-mail address takes his `current` password.

    Who finds a session open, or has a token that was stolen, cannot make the account his own.

    Raises:
        PasswordNeeded: the address is new, and no password was given.
        WrongPassword: `current` is not his password.
        TooManyAttempts: this address has tried too often, or the account is locked.
        RedisDown: attempts cannot be counted, so none is allowed.
        UserNotFound: he has been removed meanwhile.
        EmailTaken: another user has the address.
        LastAdmin: nobody else could administer.
    """
    with database.reads() as session:
        email = users.get(session, caller.user_id).email
    if changes.email is None or users.normalised(changes.email) == email:
        return transact(
            sessions, lambda session: users.update(session, caller.user_id, changes=changes)
        )
    if current is None:
        raise PasswordNeeded
    login = _confirm(database, gate, email=email, password=current, address=address)

    def change(session: Session) -> Profile:
        if _lock(session, login) is None:
            raise WrongPassword
        return users.update(session, caller.user_id, changes=changes)

    return transact(sessions, change)


def _confirm(database: Database, gate: Gate, *, email: str, password: str, address: str) -> Login:
    """Check the password of somebody who is signed in; no transaction is open meanwhile."""
    with database.reads() as session:
        login = users.find_login(session, email=email)
    gate.attempts.check(account=email, address=address)
    stored = login.password_hash if login else None
    if not gate.passwords.verify(password, stored) or login is None:
        gate.attempts.count_failure(account=email, address=address)
        raise WrongPassword
    return login


def _begin(session: Session, signing: Signing, login: Login, now: datetime | None) -> Issued:
    # The password may have been changed, or its user disabled, while it was being checked.
    if _lock(session, login) is None:
        raise BadCredentials
    return families.begin(session, signing, user_id=login.user_id, now=now or clock.now(session))


def _replace(session: Session, login: Login, hashed: str, *, kept: str | None) -> None:
    user = _lock(session, login)
    if user is None:
        raise WrongPassword
    now = clock.now(session)
    user.password_hash, user.updated_at = hashed, now
    families.end_all(session, user.id, except_id=kept, now=now)


def _lock(session: Session, login: Login) -> User | None:
    return session.scalar(
        sa.select(User)
        .where(
            User.id == login.user_id,
            User.password_hash == login.password_hash,
            User.disabled_at.is_(None),
        )
        .with_for_update()
    )
