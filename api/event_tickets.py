"""Tickets for browsers that follow events: an EventSource can send no header with a token."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response, status
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from accounts import tickets
from accounts.callers import Caller
from accounts.tickets import BadTicket
from accounts.tokens import BadToken
from accounts.users import DEMO_ADMIN
from api.deps import CacheRedis, Collaborators, CurrentCaller, Kept, OptionalCaller, TokenRequired
from api.errors import problems
from infra.cache import Cache
from infra.redis import RedisDown
from infra.settings import AuthMode

router = APIRouter(tags=["events"])


class TicketOut(BaseModel):
    """A ticket for one `GET /events?ticket=`."""

    ticket: str
    expires_in: int = Field(description="Seconds until it counts no more.")


@router.post(
    "/events/tickets",
    status_code=status.HTTP_201_CREATED,
    responses=problems(TokenRequired, RedisDown),
)
def make_ticket(caller: CurrentCaller, redis: CacheRedis, response: Response) -> TicketOut:
    """Make a ticket that opens one stream as you, within half a minute."""
    response.headers["Cache-Control"] = "no-store"
    return TicketOut(ticket=tickets.issue(Cache(redis), caller), expires_in=tickets.LIFE_S)


async def _follower(
    kept: Kept,
    caller: OptionalCaller,
    ticket: Annotated[
        str | None,
        Query(
            max_length=tickets.LENGTH,
            description="From `POST /events/tickets`, instead of a token in a header.",
        ),
    ] = None,
) -> Caller | None:
    if ticket is None:
        return caller
    return await run_in_threadpool(_redeem, kept, ticket)


Follower = Annotated[Caller | None, Depends(_follower)]
"""Who follows: the holder of a ticket, else whoever is asking."""


def _redeem(kept: Collaborators, ticket: str) -> Caller:
    holder = tickets.redeem(Cache(kept.cache), ticket)
    if holder.family_id is None and kept.settings.auth_mode is AuthMode.OPEN:
        return DEMO_ADMIN
    try:
        with kept.database.reads() as session:
            return holder.recall(session)
    except BadToken as error:
        raise BadTicket from error
