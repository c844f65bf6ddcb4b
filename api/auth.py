"""Signing up, signing in, signing out."""

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends, Request, Response, status
from fastapi.security import OAuth2PasswordRequestForm
from pydantic import AfterValidator, BaseModel, EmailStr, Field, SecretStr, WithJsonSchema

from accounts import signin, users
from accounts.passwords import MAX_LENGTH, MIN_LENGTH
from accounts.signin import BadCredentials
from accounts.tables import NAME_LENGTH, Role
from accounts.tokens import BadToken, TokenExpired, TokenRevoked
from accounts.users import EmailTaken, Profile, UserNotFound
from api import access
from api.bodies import Body, Line
from api.deps import CurrentCaller, Reads, Sessions, SignInGate, TokenRequired
from api.errors import problems
from infra.db import transact

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
    """An access token, as OAuth2 gives it out (RFC 6749, 5.1)."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the kind of token
    expires_in: int = Field(description="Seconds.")


@router.get("/ping")
async def ping() -> Pong:
    """Say that the service answers."""
    return Pong()


@router.post("/register", status_code=status.HTTP_201_CREATED, responses=problems(EmailTaken))
def register(body: Registration, gate: SignInGate, sessions: Sessions) -> UserOut:
    """Become a user. The e-mail address is the name to sign in with; its capitals do not count."""
    hashed = gate.passwords.hash(body.password.get_secret_value())
    profile = transact(
        sessions,
        lambda session: users.register(
            session, email=body.email, name=body.name, password_hash=hashed
        ),
    )
    return UserOut.of(profile)


@router.post("/token", responses=problems(BadCredentials))
def issue_token(
    form: Annotated[OAuth2PasswordRequestForm, Depends()],
    gate: SignInGate,
    reads: Reads,
    response: Response,
) -> TokenOut:
    """Sign in with e-mail address and password (OAuth2 password form): get an access token."""
    issued = signin.sign_in(reads, gate, email=form.username, password=form.password)
    response.headers["Cache-Control"] = "no-store"
    return TokenOut(access_token=issued.access_token, expires_in=issued.expires_in_s)


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
def sign_out(request: Request, gate: SignInGate, sessions: Sessions) -> None:
    """End the access token that this request is sent with, at once and everywhere.

    A repeat is answered alike.
    """
    token = access.sent_token(request)
    if token is None:
        raise TokenRequired
    transact(sessions, lambda session: signin.sign_out(session, gate.signing, token))
