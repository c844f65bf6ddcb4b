"""Signing up, signing in, signing out."""

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends, Response, status
from fastapi.security import OAuth2PasswordRequestForm
from pydantic import AfterValidator, BaseModel, EmailStr, Field, SecretStr, WithJsonSchema

from accounts import families, signin, users
from accounts.attempts import TooManyAttempts
from accounts.families import BadRefreshToken, Issued
from accounts.passwords import MAX_LENGTH, MIN_LENGTH
from accounts.signin import BadCredentials, WrongPassword
from accounts.tables import NAME_LENGTH, Role
from accounts.tokens import BadToken, TokenExpired, TokenRevoked
from accounts.users import EmailTaken, Profile, UserNotFound
from api.bodies import Body, Line
from api.deps import (
    Address,
    CurrentCaller,
    Kept,
    Reads,
    SentToken,
    TokenRequired,
)
from api.errors import problems
from infra.db import transact
from infra.redis import RedisDown
from infra.turns import LineTooLong

router = APIRouter(prefix="/auth", tags=["people"])

PersonName = Annotated[Line, Field(max_length=NAME_LENGTH, examples=["Ada Lovelace"])]
_LENGTH = f"{MIN_LENGTH} to {MAX_LENGTH} characters"


def _check_length(password: SecretStr) -> SecretStr:
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        msg = f"must have {_LENGTH}"
        raise ValueError(msg)
    return password


Password = Annotated[
    SecretStr,
    AfterValidator(_check_length),
    WithJsonSchema(
        {
            "type": "string",
            "format": "password",
            "minLength": MIN_LENGTH,
            "maxLength": MAX_LENGTH,
            "description": f"{_LENGTH}, of any kind.",
            "examples": ["correct horse battery staple"],
        }
    ),
]


class Pong(BaseModel):
    """A sign of life."""

    status: Literal["ok"] = "ok"
    service: Literal["tradepost"] = "tradepost"


class Registration(Body):
    """Who wants to be a user."""

    email: EmailStr
    password: Password
    name: PersonName


class UserOut(BaseModel):
    """A user."""

    id: int
    email: str
    name: str
    role: Role
    created_at: datetime

    @classmethod
    def of(cls, profile: Profile) -> Self:
        """Show a user's profile."""
        return cls.model_validate(profile, from_attributes=True)


class TokenOut(BaseModel):
    """An access token, as OAuth2 gives it out (RFC 6749, 5.1), and the means to the next one."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the kind of token
    expires_in: int = Field(description="Seconds.")
    refresh_token: str = Field(description="For `POST /auth/refresh`; it counts once.")

    @classmethod
    def of(cls, issued: Issued) -> Self:
        """Show new tokens."""
        return cls(
            access_token=issued.access_token,
            expires_in=issued.expires_in_s,
            refresh_token=issued.refresh_token,
        )


class Refreshing(Body):
    """What new tokens are asked for with."""

    refresh_token: Annotated[SecretStr, Field(max_length=200)]


class PasswordChange(Body):
    """One's present password and the one to have."""

    current_password: Annotated[SecretStr, Field(max_length=MAX_LENGTH)]
    new_password: Password


@router.get("/ping")
async def ping() -> Pong:
    """Say that the service answers."""
    return Pong()


@router.post(
    "/register",
    status_code=status.HTTP_201_CREATED,
    responses=problems(EmailTaken, TooManyAttempts, LineTooLong),
)
async def register(body: Registration, kept: Kept, address: Address) -> UserOut:
    """Become a user. The e-mail address is the name to sign in with; its capitals do not count."""

    def work() -> Profile:
        kept.gate.attempts.check_registration(address=address)
        hashed = kept.gate.passwords.hash(body.password.get_secret_value())
        return transact(
            kept.database.sessions,
            lambda session: users.register(
                session, email=body.email, name=body.name, password_hash=hashed
            ),
        )

    return UserOut.of(await kept.password_turns.take(work))


@router.post("/token", responses=problems(BadCredentials, TooManyAttempts, RedisDown, LineTooLong))
async def issue_token(
    form: Annotated[OAuth2PasswordRequestForm, Depends()],
    kept: Kept,
    address: Address,
    response: Response,
) -> TokenOut:
    """Sign in with e-mail address and password (OAuth2 password form): get tokens.

    Ten wrong passwords lock an account for a quarter of an hour, for the address they came from.
    """
    issued = await kept.password_turns.take(
        lambda: signin.sign_in(
            kept.database, kept.gate, email=form.username, password=form.password, address=address
        )
    )
    response.headers["Cache-Control"] = "no-store"
    return TokenOut.of(issued)


@router.post("/refresh", responses=problems(BadRefreshToken))
def refresh_token(body: Refreshing, kept: Kept, response: Response) -> TokenOut:
    """Change a refresh token for new tokens. One that was used before ends the whole sign-in."""
    issued = families.refresh(
        kept.database.sessions, kept.gate.signing, body.refresh_token.get_secret_value()
    )
    response.headers["Cache-Control"] = "no-store"
    return TokenOut.of(issued)


@router.get(
    "/me", responses=problems(TokenRequired, BadToken, TokenExpired, TokenRevoked, UserNotFound)
)
def me(caller: CurrentCaller, reads: Reads) -> UserOut:
    """Show who you are to us."""
    with reads() as session:
        return UserOut.of(users.get(session, caller.user_id))


@router.post(
    "/logout",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(TokenRequired, BadToken, TokenExpired),
)
def sign_out(token: SentToken, kept: Kept) -> None:
    """End the sign-in that this request's access token comes from, at once and everywhere.

    A repeat is answered alike.
    """
    transact(
        kept.database.sessions,
        lambda session: signin.sign_out(session, kept.gate.signing, token),
    )


@router.post(
    "/password",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(
        TokenRequired, BadToken, WrongPassword, TooManyAttempts, RedisDown, LineTooLong
    ),
)
async def change_password(
    body: PasswordChange, caller: CurrentCaller, kept: Kept, address: Address
) -> None:
    """Change your password. All your other sign-ins end; this one goes on."""
    await kept.password_turns.take(
        lambda: signin.change_password(
            kept.database,
            kept.gate,
            caller,
            current=body.current_password.get_secret_value(),
            new=body.new_password.get_secret_value(),
            address=address,
        )
    )
