"""The Redis Streams that mirror committed events, written only by compare-and-add.

One stream per topic, key `events:<topic>`, ids `<epoch>-<seq>`. The ids are explicit, so Redis
itself refuses a second entry under the same id, and a stream's last id says how far the mirror is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.outbox import Numbered
from infra.redis import Client, translated

_TIP = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return {''} end
if kind ~= 'stream' then return {kind} end
local info, last = redis.call('XINFO', 'STREAM', KEYS[1]), ''
for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = info[i + 1] end end
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
return {last, newest[1] or false}
"""

_LAST_ID = """
local function last_id(key)
  local kind = redis.call('TYPE', key).ok
  if kind == 'none' then return '' end
  if kind ~= 'stream' then return kind end
  local info = redis.call('XINFO', 'STREAM', key)
  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then return info[i + 1] end end
end
if last_id(KEYS[1]) ~= ARGV[1] then return 0 end
"""

# MULTI would not do: a failed XADD does not stop the next one, and the hole stays for ever.
_APPEND = (
    _LAST_ID
    + """
local width = tonumber(ARGV[2])
for i = 3, #ARGV, width do redis.call('XADD', KEYS[1], unpack(ARGV, i, i + width - 1)) end
return 1
"""
)

_DELETE = _LAST_ID + "return redis.call('DEL', KEYS[1])"

ABSENT = ""
_FIELDS = 9


@dataclass(frozen=True, slots=True)
class Tip:
    """Where a stream stands: `last_id` as Redis tells it, ABSENT without a stream.

    `entry` holds the newest entry's fields, None when all were trimmed. `foreign` is True for a key
    that we did not write: another type, or an entry that is not one of ours.
    """

    last_id: str
    epoch: int = 0
    seq: int = 0
    entry: dict[str, str] | None = None
    foreign: bool = False

    def shows(self, event: Numbered) -> bool:
        """Tell whether the newest entry is this event; yes if there is no entry to compare."""
        return self.entry is None or (
            self.entry["subject"] == event.subject and self.entry["version"] == str(event.version)
        )


class Streams:
    """The streams of all topics on one Redis."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tip = client.register_script(_TIP)
        self._append = client.register_script(_APPEND)
        self._delete = client.register_script(_DELETE)

    def tips(self, topics: Sequence[str]) -> dict[str, Tip]:
        """Read where each topic's stream stands, in one round trip.

        Raises:
            RedisDown: the streams cannot be read.
        """
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for topic in topics:
                self._tip(keys=[stream_key(topic)], client=pipe)
            answers = pipe.execute()
        return {
            topic: _as_tip(topic, answer) for topic, answer in zip(topics, answers, strict=True)
        }

    def append(self, topic: str, *, after: str, events: Sequence[Numbered]) -> bool:
        """Add events if the stream's last id is still `after`; False and no change if it is not.

        Raises:
            RedisDown: nobody knows whether they were added; the last id tells.
        """
        fields = [field for event in events for field in entry_fields(event)]
        with translated():
            answer = self._append(keys=[stream_key(topic)], args=[after, 1 + 2 * _FIELDS, *fields])
        return bool(answer)

    def delete(self, topic: str, *, at: str) -> bool:
        """Remove a stream that is not ours, if its last id is still `at`.

        Raises:
            RedisDown: nobody knows; read the tip again.
        """
        with translated():
            return bool(self._delete(keys=[stream_key(topic)], args=[at]))

    def length(self, topic: str) -> int:
        """Count the entries of a topic's stream.

        Raises:
            RedisDown: the streams cannot be read.
        """
        with translated():
            return int(self._client.xlen(stream_key(topic)))


def stream_key(topic: str) -> str:
    """Name the Redis key of a topic's stream."""
    return f"events:{topic}"


def entry_fields(event: Numbered) -> list[str]:
    """Lay an event out as XADD takes it: its id, then CloudEvents attributes and values in turn.

    Source: CloudEvents 1.0.2, https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
    """
    event_id = f"{event.epoch}-{event.seq}"
    return [
        event_id,
        "specversion", "1.0",
        "id", event_id,
        "source", f"/tradepost/{event.topic}",
        "type", event.type,
        "subject", event.subject,
        "version", str(event.version),
        "time", event.time.isoformat().replace("+00:00", "Z"),
        "datacontenttype", "application/json",
        "data", event.data,
    ]  # fmt: skip


def parse_id(entry_id: str) -> tuple[int, int]:
    """Split `<epoch>-<seq>`.

    Raises:
        ValueError: it is not such an id.
    """
    epoch, dash, seq = entry_id.partition("-")
    if not dash or not (epoch.isascii() and epoch.isdigit() and seq.isascii() and seq.isdigit()):
        raise ValueError(entry_id)
    return int(epoch), int(seq)


def _as_tip(topic: str, answer: list[object]) -> Tip:
    last_id = _text(answer[0])
    if last_id == ABSENT:
        return Tip(ABSENT)
    try:
        epoch, seq = parse_id(last_id)
    except ValueError:  # the name of another type
        return Tip(last_id, foreign=True)
    newest = answer[1] if len(answer) > 1 else None
    if not isinstance(newest, list):
        return Tip(last_id, epoch, seq)
    flat = [_text(part) for part in newest[1]]
    entry = dict(zip(flat[::2], flat[1::2], strict=True))
    ours = (
        entry.get("id") == _text(newest[0]) == last_id
        and entry.get("source") == f"/tradepost/{topic}"
        and {"subject", "version"} <= entry.keys()
    )
    return Tip(last_id, epoch, seq, entry, foreign=not ours)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
