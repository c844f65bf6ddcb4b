"""Ends the open streams of those who have lost what they were let in with.

A request is judged once, when it comes. A stream may go on for days after its caller has signed
out, been shut out or been given another role, so those who follow are looked at again and again.
"""

import asyncio

from starlette.concurrency import run_in_threadpool

from accounts.callers import Caller, list_standing
from infra.db import SERVER_ERRORS, Sessions
from infra.errors import Transient
from infra.events.fanout import Subscriber
from infra.logs import log

LOOK_EVERY_S = 5.0


class Attendance:
    """Who follows which stream; strangers, who see what is public, are not looked at."""

    def __init__(self, reads: Sessions) -> None:
        self._reads = reads
        self._present: dict[Subscriber, Caller] = {}

    def enter(self, subscriber: Subscriber, caller: Caller | None) -> None:
        """Note who follows; a caller without a sign-in has none that could end."""
        if caller is not None and caller.family_id is not None:
            self._present[subscriber] = caller

    def leave(self, subscriber: Subscriber) -> None:
        """Forget who followed."""
        self._present.pop(subscriber, None)

    async def run(self) -> None:
        """Look at everybody every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except (Transient, *SERVER_ERRORS) as error:
                # Nothing new is told either, as long as the database is away.
                log.warning("attendance_not_taken", error=type(error).__name__)

    async def look(self) -> None:
        """End the streams of those who are not let in any more, or not as who they were."""
        present = dict(self._present)
        if not present:
            return
        standing = await run_in_threadpool(_list_standing, self._reads, set(present.values()))
        for subscriber, caller in present.items():
            if standing.get(caller.family_id) != caller:
                log.info("stream_ended", user_id=caller.user_id)
                subscriber.end()


def _list_standing(reads: Sessions, callers: set[Caller]) -> dict[str | None, Caller]:
    with reads() as session:
        found = list_standing(session, [caller.family_id or "" for caller in callers])
        return {caller.family_id: caller for caller in found}
