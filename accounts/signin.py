"""Signing in, a password for a token, and signing out again."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from accounts import tokens, users
from accounts.passwords import Passwords
from accounts.tokens import Issued, Signing
from infra import clock
from infra.db import Sessions
from infra.errors import Unauthenticated


class BadCredentials(Unauthenticated):
    """The address or the password is wrong; which one is not told."""

    code = "bad_credentials"

    def __init__(self) -> None:
        # `error` is what an OAuth2 client looks for (RFC 6749, 5.2).
        super().__init__("The e-mail address or the password is wrong.", error="invalid_grant")


@dataclass(frozen=True, slots=True)
class Gate:
    """What a sign-in is judged with."""

    passwords: Passwords
    signing: Signing


def sign_in(
    reads: Sessions, gate: Gate, *, email: str, password: str, now: datetime | None = None
) -> Issued:
    """Check a password and sign a token; no transaction is open while the password is checked.

    Raises:
        BadCredentials: nobody may sign in with these.
    """
    with reads() as session:
        login = users.find_login(session, email=email)
        now = now or clock.now(session)
    stored = login.password_hash if login else None
    if not gate.passwords.verify(password, stored) or login is None:
        raise BadCredentials
    return tokens.issue(gate.signing, user_id=login.user_id, now=now)


def sign_out(
    session: Session, signing: Signing, token: str, *, now: datetime | None = None
) -> None:
    """End a token; a repeat changes nothing.

    Raises:
        BadToken: it is not one of ours.
        TokenExpired: it has ended by itself.
    """
    now = now or clock.now(session)
    tokens.revoke(session, tokens.read(signing, token, now=now), now=now)
