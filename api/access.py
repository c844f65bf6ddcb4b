"""Who is asking: the one way from a request to a caller, and what must hold before we serve.

`AUTH_MODE=required` knows callers by their token alone. `AUTH_MODE=open` also takes a request from
this machine for the demo admin's; whatever a proxy, another site's page or a rebound name might
have sent is not from this machine.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope
from structlog.contextvars import bind_contextvars

from accounts.callers import Caller, identify_over
from accounts.tokens import BadToken, Signing, find_weakness
from accounts.users import DEMO_ADMIN, ensure_demo_admin
from api.access_log import USER_ID
from infra.database import schema
from infra.db import SERVER_ERRORS, Database, Sessions, reading, transact
from infra.errors import Misconfigured, Transient
from infra.logs import log
from infra.settings import MOST_SECRETS, AuthMode, Settings, is_loopback, split_secrets

# What only workers and Flower need: this process lets go of it, should its environment hold it.
OTHERS_SECRETS = ("finnhub_api_key", "stripe_api_key", "flower_basic_auth")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_FORWARDING = frozenset({b"forwarded", b"via", b"x-real-ip"})


def check_start(settings: Settings) -> None:
    """Refuse to serve with settings that would let strangers in, or let nobody sign in.

    Raises:
        Misconfigured: the sentence says what to change.
    """
    if settings.auth_mode is AuthMode.OPEN and not is_loopback(settings.api_host):
        raise Misconfigured(
            f"AUTH_MODE is open, which serves this machine only, but API_HOST is "
            f"{settings.api_host}: set API_HOST=127.0.0.1 or AUTH_MODE=required."
        )
    held = split_secrets(settings.secret_key)
    if not held and settings.auth_mode is AuthMode.REQUIRED:
        raise Misconfigured(
            "SECRET_KEY is missing, which signs access tokens: set it to the output of "
            "`openssl rand -hex 32`, the same for every API process."
        )
    if len(held) > MOST_SECRETS:
        raise Misconfigured(
            "SECRET_KEY holds more than two secrets: set the new one and the one before, joined by"
            " a comma."
        )
    for weakness in filter(None, map(find_weakness, held)):
        raise Misconfigured(
            f"SECRET_KEY {weakness}: set it to the output of `openssl rand -hex 32`."
        )


def seat_demo_admin(database: Database) -> None:
    """Make the user whom open mode takes local callers for, unless the database is not ready."""
    try:
        with database.reads() as session:
            missing = schema.missing_tables(session)
        if missing:
            log.warning("demo_admin_not_made", missing_tables=len(missing))
        else:
            transact(database.sessions, ensure_demo_admin)
    except (Transient, *SERVER_ERRORS) as error:
        log.warning("demo_admin_not_made", error=type(error).__name__)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody at the door, who has said who he is, or is on this machine; not yet looked up."""

    scope: Scope
    reads: Sessions
    signing: Signing
    token: str | None

    def identify(self) -> Caller:
        """Look up who it is; waits for the database, so it wants a thread.

        Raises:
            BadToken: the token does not count.
        """
        if self.token is None:
            caller = DEMO_ADMIN
        else:
            with reading(self.reads) as connection:
                caller = identify_over(connection, self.signing, self.token)
        self.scope[USER_ID] = caller.user_id
        bind_contextvars(user_id=caller.user_id)
        return caller


def receive(
    request: Request, *, mode: AuthMode, reads: Sessions, signing: Signing
) -> Visitor | None:
    """Take from a request what says who is asking; None if nothing does. Both modes go this way.

    Raises:
        BadToken: there are credentials, of another kind.
    """
    token = sent_token(request)
    if token is not None or (mode is AuthMode.OPEN and is_from_loopback(request.scope)):
        return Visitor(request.scope, reads, signing, token)
    return None


async def resolve(
    request: Request, *, mode: AuthMode, reads: Sessions, signing: Signing
) -> Caller | None:
    """Find out who is asking; None if nobody says so.

    Raises:
        BadToken: credentials were sent and do not count, whatever the mode.
    """
    visitor = receive(request, mode=mode, reads=reads, signing=signing)
    if visitor is None:
        return None
    if visitor.token is None:
        return visitor.identify()
    caller: Caller = await run_in_threadpool(visitor.identify)
    bind_contextvars(user_id=caller.user_id)  # a thread binds what it binds for itself
    return caller


def sent_token(request: Request) -> str | None:
    """Take the access token from a request; None if it comes without credentials.

    Raises:
        BadToken: there are credentials, of another kind.
    """
    sent = request.headers.getlist("authorization")
    if not sent:
        return None
    scheme, _, token = sent[0].partition(" ")
    if len(sent) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise BadToken("Send one header of the form `Authorization: Bearer <access token>`.")
    return token.strip()


def is_from_loopback(scope: Scope) -> bool:
    """Tell whether a request was made on this machine, to this machine, by nobody else's page."""
    if not (
        _is_loopback_address(scope.get("client")) and _is_loopback_address(scope.get("server"))
    ):
        return False
    hosts, origins = [], []
    for name, value in scope["headers"]:
        if name in _FORWARDING or name.startswith(b"x-forwarded"):
            return False
        if name == b"host":
            hosts.append(f"//{value.decode('latin-1')}")
        elif name == b"origin":
            origins.append(value.decode("latin-1"))
    return len(hosts) == 1 and all(_names_this_machine(url) for url in hosts + origins)


def _is_loopback_address(address: tuple[str, int | None] | None) -> bool:
    if address is None:
        return False
    try:
        return ip_address(address[0]).is_loopback
    except ValueError:  # the path of a Unix socket, behind which a proxy may stand
        return False


def _names_this_machine(url: str) -> bool:
    try:
        return urlsplit(url).hostname in _LOCAL_NAMES
    except ValueError:
        return False
