"""Streams made anew from the database, on an operator's word."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy.orm import Session

from infra import outbox
from infra.db import transact
from infra.events import alarms, mending, relay
from infra.events.alarms import Alarm
from infra.events.relay import Relay

STEP_S = 1.0


def rebuild(
    publisher: Relay,
    topics: Sequence[str],
    *,
    opens_epoch: bool,
    progress: Callable[[int], None],
) -> int:
    """Empty streams and fill them again; return how many entries were added.

    Consumer groups stand where they stood. With `opens_epoch` subscribers are told that what they
    knew may be wrong: for a database that was restored after its streams had been lost as well.
    Safe to repeat; another relay may take part in the filling.

    Raises:
        RedisDown: the streams cannot be reached; what was begun, the relay ends.
    """
    for topic in topics:
        begin = partial(_begin, publisher=publisher, topic=topic, opens_epoch=opens_epoch)
        transact(publisher.sessions, begin)
    narrowed, added = replace(publisher, topics=tuple(topics)), 0
    while True:
        done = relay.run(narrowed, budget_s=STEP_S)
        added += done.added
        progress(done.added)
        if not done.left:
            return added


def _begin(session: Session, *, publisher: Relay, topic: str, opens_epoch: bool) -> None:
    state = outbox.lock_state(session, topic)
    tip = publisher.streams.tips([topic])[topic]
    if opens_epoch:
        state.epoch = max(state.epoch, tip.epoch if tip.is_stream and not tip.is_foreign else 0) + 1
    if mending.begin_anew(session, publisher.keeping, state, tip) is not None:
        state.published = 0
        alarms.sound(session, topic, Alarm.REBUILT, last_id=tip.last_id, epoch=state.epoch)
