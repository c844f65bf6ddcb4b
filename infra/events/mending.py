"""What can have happened to a stream since the relay last saw it, and what is done about it.

Nothing here writes events: a stream that is mended stands at an id of ours, from which the relay
goes on as ever.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from infra import clock, outbox
from infra.events import alarms
from infra.events.alarms import Alarm
from infra.outbox import StreamState
from infra.streams import Streams, Tip, parse_id

# These need an empty stream: Redis takes no entry below the last id it ever had.
_BEGINS_ANEW = frozenset(
    {Alarm.WRONG_TYPE, Alarm.FOREIGN_WRITE, Alarm.STREAM_GONE, Alarm.ENTRIES_MISSING}
)


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a stream that begins anew is filled with: so much time, and so many entries at most."""

    streams: Streams
    retention: timedelta
    most: int


def mend(session: Session, keeping: Keeping, state: StreamState, tip: Tip) -> Tip | None:
    """Put right what is wrong with a locked topic's stream; tell where it stands now.

    None when somebody changed the stream meanwhile: the next look will show what is so.

    Raises:
        RedisDown: the stream may or may not have been changed; the next look tells.
    """
    damage = _diagnose(session, state, tip)
    if damage is None:
        return begin_anew(session, keeping, state, tip) if tip.is_unused else tip
    alarms.sound(
        session, state.topic, damage, last_id=tip.last_id, published=state.published,
        next=state.next_seq, missing=tip.missing,
    )  # fmt: skip
    if damage is Alarm.DATABASE_RESTORED:
        state.epoch, state.published = tip.epoch + 1, 0
    return begin_anew(session, keeping, state, tip) if damage in _BEGINS_ANEW else tip


def begin_anew(session: Session, keeping: Keeping, state: StreamState, tip: Tip) -> Tip | None:
    """Empty a locked topic's stream, its groups where they stood, ready for the first event kept.

    None when somebody changed the stream meanwhile.

    Raises:
        RedisDown: the stream may or may not have been emptied; the next look tells.
    """
    streams, topic = keeping.streams, state.topic
    epoch, seq = _first_to_keep(session, keeping, state, tip)
    ours = _last_of_ours(streams, state, tip)
    groups = streams.start(topic, at=tip.last_id, first=(epoch, seq), last_of_ours=ours)
    if groups is None:
        return None
    for group in groups:
        alarms.tell_group_moved(topic, group.name, at=group.at, pending=group.pending)
    return Tip(f"{epoch}-{seq - 1}", epoch, seq - 1)


def _diagnose(session: Session, state: StreamState, tip: Tip) -> Alarm | None:
    if tip.is_unused:
        return Alarm.STREAM_GONE if state.published else None
    if not tip.is_stream:
        return Alarm.WRONG_TYPE
    # An entry of somebody else's may have been trimmed away; its id betrays it.
    if tip.is_foreign or (tip.entry is None and tip.epoch > state.epoch):
        return Alarm.FOREIGN_WRITE
    if tip.epoch >= state.epoch and not _is_known(session, state, tip):
        return Alarm.DATABASE_RESTORED
    if tip.missing:
        return Alarm.ENTRIES_MISSING
    lost_tail = tip.epoch < state.epoch or tip.seq < state.published
    return Alarm.TAIL_LOST if state.published and lost_tail else None


def _is_known(session: Session, state: StreamState, tip: Tip) -> bool:
    if tip.epoch != state.epoch or tip.seq >= state.next_seq:
        return False
    event = outbox.find_numbered(session, state.topic, seq=tip.seq)
    return event is None or tip.shows(event)


def _last_of_ours(streams: Streams, state: StreamState, tip: Tip) -> str:
    """Find the newest id that a group can have had from us."""
    if tip.is_foreign and tip.is_stream:
        return streams.last_of_ours(state.topic, below=f"{state.epoch}-{state.next_seq - 1}")
    return tip.last_id if tip.epoch <= state.epoch else f"{state.epoch}-{state.published}"


def _first_to_keep(
    session: Session, keeping: Keeping, state: StreamState, tip: Tip
) -> tuple[int, int]:
    """Find the first event of the retention, or the one that the stream began with if earlier."""
    since = clock.now(session) - keeping.retention
    young = outbox.first_seq_since(session, state.topic, since=since)
    seq = state.next_seq if young is None else young
    if tip.floor:
        seq = min(seq, parse_id(tip.floor)[1])
    seq = max(seq, state.next_seq - keeping.most, 1)
    oldest = outbox.list_after(session, state.topic, seq=seq - 1, limit=1)
    return (oldest[0].epoch, oldest[0].seq) if oldest else (state.epoch, state.next_seq)
