"""The tables of users, of what their sign-ins gave out, and of what operators did."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from infra.db import Base, BigId, UtcDateTime, binary_string

EMAIL_LENGTH = 254
NAME_LENGTH = 100
FAMILY_ID_LENGTH = 32
_HASH_LENGTH = 64


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


class TokenFamily(Base):
    """All tokens that come from one sign-in; with `ended_at` none of them counts any more."""

    __tablename__ = "token_family"
    __table_args__ = (sa.Index(None, "user_id"),)

    id: Mapped[str] = mapped_column(binary_string(FAMILY_ID_LENGTH), primary_key=True)
    user_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RefreshToken(Base):
    """A refresh token, as its SHA-256; one that has been used is kept to be known if it returns."""

    __tablename__ = "refresh_token"
    __table_args__ = (sa.Index(None, "family_id"),)

    hash: Mapped[str] = mapped_column(binary_string(_HASH_LENGTH), primary_key=True)
    family_id: Mapped[str] = mapped_column(
        binary_string(FAMILY_ID_LENGTH), sa.ForeignKey("token_family.id", ondelete="CASCADE")
    )
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AuditEntry(Base):
    """What somebody with more than a customer's rights changed; rows are only ever added.

    `user_id` is none for the command line, and outlives its user.
    """

    __tablename__ = "audit_log"
    __table_args__ = (sa.Index(None, "user_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    user_id: Mapped[int | None] = mapped_column(BigId)
    action: Mapped[str] = mapped_column(binary_string(120))
    subject: Mapped[str] = mapped_column(binary_string(200))
    request_id: Mapped[str] = mapped_column(binary_string(64))
