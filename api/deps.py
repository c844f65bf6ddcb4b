"""What endpoints work with: made once per process, handed to each by its annotation.

All are coroutines, because FastAPI would send a plain function to a thread for every request.
"""

import os
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Request
from fastapi.security import OAuth2PasswordBearer
from pydantic import BeforeValidator

from accounts.attempts import Attempts
from accounts.audit import Doing, audited
from accounts.callers import Caller
from accounts.passwords import Passwords
from accounts.signin import Gate
from accounts.tokens import Signing
from api import access
from api.errors import REQUEST_ID
from infra import db, redis
from infra.db import Database, open_database
from infra.errors import Forbidden, Unauthenticated
from infra.settings import Settings, split_secrets
from infra.sharing.limiter import Limiter
from infra.turns import Turns

# As many connections as FastAPI has threads for endpoints.
_POOL_SIZE = 40
# A caller waits for us: rather tell him to come again than hold one of the threads.
_LOCK_WAIT_TIMEOUT_S = 2
# Well within the time that a caller is kept waiting, see api/deadline.
_DATABASE_PATIENCE_S = 8
_REDIS_CONNECT_TIMEOUT_S = 0.5
_REDIS_TIMEOUT_S = 1
_MAX_ID = 2**63 - 1
# A password keeps one core busy: one is left for everybody else.
_PASSWORDS_AT_ONCE = max(1, min(4, (os.cpu_count() or 1) - 1))
# More would not get their turn before their callers are told that it takes too long.
_PASSWORDS_WAITING = 200


class TokenRequired(Unauthenticated):
    """The call needs a signed-in user."""

    code = "token_required"

    def __init__(self) -> None:
        super().__init__("Sign in: send the access token that POST /auth/token gives.")


class RoleRequired(Forbidden):
    """The call needs a role that the caller does not have."""

    code = "role_required"

    def __init__(self, role: str) -> None:
        super().__init__(f"This needs the role {role}.")


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What this process keeps open; `app.state.collaborators`."""

    settings: Settings
    database: Database
    cache: redis.Client
    streams: redis.Client
    broker: redis.Client
    gate: Gate
    password_turns: Turns


@contextmanager
def opened(settings: Settings) -> Iterator[Collaborators]:
    """Make the collaborators, and close them in the end; no server is spoken to yet."""
    made = Collaborators(
        settings=settings,
        database=open_database(
            settings.database,
            pool_size=_POOL_SIZE,
            lock_wait_timeout_s=_LOCK_WAIT_TIMEOUT_S,
            lock_waits=1,
            patience_s=_DATABASE_PATIENCE_S,
        ),
        cache=_connect(settings.cache),
        streams=_connect(settings.streams),
        broker=_connect(settings.broker),
        gate=Gate(passwords=Passwords(), signing=_signing(settings), attempts=_attempts(settings)),
        password_turns=Turns(at_once=_PASSWORDS_AT_ONCE, most_waiting=_PASSWORDS_WAITING),
    )
    try:
        yield made
    finally:
        for client in (made.cache, made.streams, made.broker):
            client.close()
        made.database.engine.dispose()


def kept_by(request: Request) -> Collaborators:
    """Give everything the process that serves a request keeps open."""
    kept: Collaborators = request.app.state.collaborators
    return kept


async def collaborators(request: Request) -> Collaborators:
    """Hand out everything the process keeps open."""
    return kept_by(request)


# What is below takes the request itself: FastAPI walks a dependency of a dependency once more for
# each that wants it, and that took longer than what they do.
Kept = Annotated[Collaborators, Depends(collaborators)]


class _AccessToken(OAuth2PasswordBearer):
    """The access token of `POST /auth/token`, and what is made of a request that may carry one.

    The document tells of a token wherever FastAPI meets this class. That it does the work too saves
    the walk to a dependency of its own.
    """

    def __init__(self, take: Callable[[Request], Awaitable[object]]) -> None:
        super().__init__(
            tokenUrl="auth/token",
            scheme_name=OAuth2PasswordBearer.__name__,
            description="The access token of POST /auth/token.",
        )
        self._take = take

    async def __call__(self, request: Request) -> Any:  # type: ignore[override] # noqa: ANN401 - what is taken
        return await self._take(request)


async def _settings(request: Request) -> Settings:
    return kept_by(request).settings


async def _reads(request: Request) -> db.Sessions:
    return kept_by(request).database.reads


async def _cache(request: Request) -> redis.Client:
    return kept_by(request).cache


async def _resolve(request: Request) -> Caller | None:
    kept = kept_by(request)
    return await access.resolve(
        request,
        mode=kept.settings.auth_mode,
        reads=kept.database.reads,
        signing=kept.gate.signing,
    )


def receive(request: Request) -> access.Visitor:
    """Take from a request what says who is asking.

    Raises:
        TokenRequired: nothing does.
        BadToken: there are credentials, of another kind.
    """
    kept = kept_by(request)
    visitor = access.receive(
        request,
        mode=kept.settings.auth_mode,
        reads=kept.database.reads,
        signing=kept.gate.signing,
    )
    if visitor is None:
        raise TokenRequired
    return visitor


async def _receive(request: Request) -> access.Visitor:
    return receive(request)


_optional_caller = _AccessToken(_resolve)
_visitor = _AccessToken(_receive)


async def _sessions(
    request: Request, caller: Annotated[Caller | None, Depends(_optional_caller)]
) -> db.Sessions:
    return sessions_of(request, caller)


def sessions_of(request: Request, caller: Caller | None) -> db.Sessions:
    """Give what a caller's changes go through: those of an operator are written down."""
    sessions = kept_by(request).database.sessions
    if caller is None or not caller.is_operator:
        return sessions
    route = request.scope["route"].path
    doing = Doing(
        user_id=caller.user_id,
        action=f"{request.method} {route}",
        subject=request.url.path.strip("/") if "{" in route else None,
        request_id=request.scope.get(REQUEST_ID, ""),
    )
    return audited(sessions, doing)


AppSettings = Annotated[Settings, Depends(_settings)]
"""The settings."""

Sessions = Annotated[db.Sessions, Depends(_sessions)]
"""For `transact`; what an operator changes through them leaves a row in the audit log."""

Reads = Annotated[db.Sessions, Depends(_reads)]
"""For `with reads() as session:`; takes no write lock."""

CacheRedis = Annotated[redis.Client, Depends(_cache)]
"""The Redis that holds cache, bells and budgets."""


async def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


Address = Annotated[str, Depends(_address)]
"""Where a request comes from."""

OptionalCaller = Annotated[Caller | None, Depends(_optional_caller)]
"""Who is asking, None if nobody says so."""


def _refuse_other_spellings(written: object) -> object:
    # pydantic would take " 1", "1.0" and the digits of every script.
    if isinstance(written, str) and not (written.isascii() and written.isdigit()):
        msg = "Input should be a valid integer"
        raise ValueError(msg)
    return written


RowId = Annotated[
    int,
    BeforeValidator(_refuse_other_spellings),
    Path(ge=1, le=_MAX_ID, description="The `id`, as lists and earlier answers give it."),
]
"""The id of a row in a path."""


IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern="^[\x21-\x7e]+$",
        description="The same key again does nothing twice: it gives what the first one did.",
    ),
]
"""What tells a request that is sent again from one that wants the same once more."""


async def _current_caller(caller: OptionalCaller) -> Caller:
    if caller is None:
        raise TokenRequired
    return caller


CurrentCaller = Annotated[Caller, Depends(_current_caller)]
"""Who is asking; 401 if nobody says so."""


async def _operator(caller: CurrentCaller) -> Caller:
    if not caller.is_operator:
        raise RoleRequired("operator")
    return caller


async def _admin(caller: CurrentCaller) -> Caller:
    if not caller.is_admin:
        raise RoleRequired("admin")
    return caller


async def _take_token(request: Request) -> str:
    token = access.sent_token(request)
    if token is None:
        raise TokenRequired
    return token


_sent_token = _AccessToken(_take_token)

NEED_A_TOKEN = frozenset({_current_caller, _sent_token, _visitor})
NEED_A_ROLE = frozenset({_operator, _admin})

Visitor = Annotated[access.Visitor, Depends(_visitor)]
"""Who says that he may ask, to be looked up by the endpoint; wants a `KnownFirst` route."""

SentToken = Annotated[str, Depends(_sent_token)]
"""The access token as it was sent, sound or not; 401 if there is none."""

Operator = Annotated[Caller, Depends(_operator)]
"""Who is asking, an operator or admin; else 403."""

Admin = Annotated[Caller, Depends(_admin)]
"""Who is asking, an admin; else 403."""


def _connect(url: str) -> redis.Client:
    return redis.connect(
        url, connect_timeout_s=_REDIS_CONNECT_TIMEOUT_S, timeout_s=_REDIS_TIMEOUT_S
    )


def _signing(settings: Settings) -> Signing:
    # Only open mode gets here without a key: its tokens end with the process.
    secret, *previous = split_secrets(settings.secret_key) or (secrets.token_hex(32),)
    return Signing(
        secret=secret,
        previous=tuple(previous),
        life=timedelta(seconds=settings.token_ttl_s),
        refresh_life=timedelta(seconds=settings.refresh_ttl_s),
    )


def _attempts(settings: Settings) -> Attempts:
    limiter = Limiter(
        settings.cache, connect_timeout_s=_REDIS_CONNECT_TIMEOUT_S, timeout_s=_REDIS_TIMEOUT_S
    )
    return Attempts(limiter, per_address_per_minute=settings.sign_ins_per_minute)
