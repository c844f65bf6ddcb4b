"""Who is asking: the one thing that every decision about access looks at."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from accounts import tokens
from accounts.tables import Role, TokenFamily, User
from accounts.tokens import BadToken, Signing, TokenRevoked
from infra import clock
from infra.database.prepared import Prepared
from infra.db import connection_of

_AT_ONCE = 500
# A user who has access, with the family if it goes on; the clock saves a question of its own.
_KNOWN = Prepared(
    sa.select(User.role, TokenFamily.id.label("family_id"), clock.Now().label("read_at"))
    .outerjoin(
        TokenFamily,
        (TokenFamily.id == sa.bindparam("asked_family"))
        & (TokenFamily.user_id == User.id)
        & TokenFamily.ended_at.is_(None),
    )
    .where(User.id == sa.bindparam("asked_user"), User.disabled_at.is_(None))
)


@dataclass(frozen=True, slots=True)
class Caller:
    """A known person and what he may do."""

    user_id: int
    role: Role
    # The sign-in that the token comes from; none for a caller without a token.
    family_id: str | None = field(default=None, compare=False)

    @property
    def is_operator(self) -> bool:
        """True for those who work on everybody's things: operators and admins."""
        return self.role in (Role.OPERATOR, Role.ADMIN)

    @property
    def is_admin(self) -> bool:
        """True for those who may do anything."""
        return self.role is Role.ADMIN


def identify(
    session: Session, signing: Signing, token: str, *, now: datetime | None = None
) -> Caller:
    """Find whom a token stands for.

    The role is the one of this moment, not the one of the sign-in.

    Raises:
        BadToken: it is not one of ours, or its user is gone or disabled.
        TokenExpired: its time is over.
        TokenRevoked: it was ended before its time.
    """
    return identify_over(connection_of(session), signing, token, now=now)


def identify_over(
    connection: Connection, signing: Signing, token: str, *, now: datetime | None = None
) -> Caller:
    """Find whom a token stands for, as `identify` does, without a session."""
    claims = tokens.read_undated(signing, token)
    known = _find(connection, user_id=claims.user_id, family_id=claims.family_id)
    if now is None:
        now = clock.read(connection) if known is None else clock.instant(known[2])
    claims.check_time(now)
    return _caller(known, claims.user_id, claims.family_id)


def recall(session: Session, *, user_id: int, family_id: str) -> Caller:
    """Find somebody who has been identified before, by his sign-in.

    Raises:
        BadToken: the user is gone or disabled.
        TokenRevoked: the sign-in has been ended.
    """
    known = _find(connection_of(session), user_id=user_id, family_id=family_id)
    return _caller(known, user_id, family_id)


def list_standing(session: Session, family_ids: Iterable[str]) -> list[Caller]:
    """List whom these sign-ins stand for, without those that have ended."""
    wanted, found = list(family_ids), []
    for first in range(0, len(wanted), _AT_ONCE):
        query = (
            sa.select(User.id, User.role, TokenFamily.id)
            .join(TokenFamily, TokenFamily.user_id == User.id)
            .where(
                TokenFamily.id.in_(wanted[first : first + _AT_ONCE]),
                TokenFamily.ended_at.is_(None),
                TokenFamily.expires_at > clock.now(session),
                User.disabled_at.is_(None),
            )
        )
        found += [Caller(*row) for row in session.execute(query)]
    return found


def _find(connection: Connection, *, user_id: int, family_id: str) -> tuple[Any, ...] | None:
    rows = _KNOWN.run_on(connection, asked_user=user_id, asked_family=family_id).rows
    return rows[0] if rows else None


def _caller(known: tuple[Any, ...] | None, user_id: int, family_id: str) -> Caller:
    if known is None:
        raise BadToken("The access token's user no longer has access.")
    role, standing_family, _ = known
    if standing_family is None:
        raise TokenRevoked
    return Caller(user_id=user_id, role=Role(role), family_id=family_id)
