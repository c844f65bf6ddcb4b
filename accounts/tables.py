"""The tables of users and of tokens that were ended early."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from infra.db import Base, BigId, UtcDateTime, binary_string

EMAIL_LENGTH = 254
NAME_LENGTH = 100
_TOKEN_ID_LENGTH = 36


class Role(StrEnum):
    """What a user may do: shop for himself, work on everybody's things, or anything."""

    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"


class User(Base):
    """A person who may sign in; `email` is stored in lower case and is unique as such.

    Without `password_hash` nobody can sign in with a password; with `disabled_at` nobody at all.
    """

    __tablename__ = "users"
    # SQLite would give a deleted user's id, and with it his orders, to the next one.
    __table_args__ = (sa.UniqueConstraint("email"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    email: Mapped[str] = mapped_column(binary_string(EMAIL_LENGTH))
    name: Mapped[str] = mapped_column(sa.String(NAME_LENGTH))
    password_hash: Mapped[str | None] = mapped_column(binary_string(255))
    role: Mapped[Role] = mapped_column(
        sa.Enum(
            Role,
            native_enum=False,
            length=16,
            values_callable=lambda roles: [role.value for role in roles],
        )
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RevokedToken(Base):
    """A token that was ended before its time; the row is of no use after `expires_at`."""

    __tablename__ = "revoked_token"
    __table_args__ = (sa.Index(None, "expires_at"),)

    jti: Mapped[str] = mapped_column(binary_string(_TOKEN_ID_LENGTH), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
