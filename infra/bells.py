"""One outstanding bell per task: a thousand changes a second are not a thousand messages.

A process that has just done a task's work may wait beside the broker for more of it: who rings then
calls it, and sends no message.
"""

from dataclasses import dataclass

from infra.redis import Client, shared, translated

LIFE_S = 5
# Whoever was waiting is there within this time, or was killed.
_CALL_LIFE_MS = 1000
_WITHDRAWN_WITHIN_MS = 100

# KEYS: for each task its mark, who waits for it, what calls him. ARGV: the life of a mark and of a
# call, in ms. What somebody else has put there for ever goes in that time at the latest. Answers 0
# for a task that is rung already, 1 for one that wants a message, 2 for one that was called.
_CLAIM = """
local answers = {}
for i = 1, #KEYS, 3 do
  local answer = 0
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.call('PEXPIRE', KEYS[i], ARGV[1], 'LT')
  elseif redis.call('DEL', KEYS[i + 1]) == 1 then
    redis.call('DEL', KEYS[i + 2])
    redis.call('RPUSH', KEYS[i + 2], '1')
    redis.call('PEXPIRE', KEYS[i + 2], ARGV[2])
    answer = 2
  else
    redis.call('SET', KEYS[i], '1', 'PX', ARGV[1])
    answer = 1
  end
  answers[#answers + 1] = answer
end
return answers
"""

# KEYS: as above, for one task. ARGV: how long, in ms. Nobody waits beside a message that is on its
# way, nor two for the same.
_BEGIN_WAIT = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
if not redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[1]) then return 0 end
redis.call('DEL', KEYS[3])
return 1
"""

# KEYS: as above. Who was called in this very moment is told so.
_END_WAIT = """
redis.call('DEL', KEYS[2])
return redis.call('DEL', KEYS[3])
"""


@dataclass(frozen=True, slots=True)
class Rung:
    """Tasks that nobody else has just rung: some want a message, for others somebody was called."""

    to_send: frozenset[str]
    called: frozenset[str] = frozenset()


class Bells:
    """Marks in Redis that say which task has been rung and has not yet begun."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._claim = client.register_script(_CLAIM)
        self._begin_wait = client.register_script(_BEGIN_WAIT)
        self._end_wait = client.register_script(_END_WAIT)

    def claim(self, *tasks: str) -> Rung:
        """Mark tasks as rung, or call who waits for them, in one question.

        Raises:
            RedisDown: nobody knows.
        """
        keys = [key for task in tasks for key in _keys(task)]
        with translated():
            answers = self._claim(keys=keys, args=[LIFE_S * 1000, _CALL_LIFE_MS])
        told = dict(zip(tasks, answers, strict=True))
        return Rung(
            frozenset(task for task, answer in told.items() if answer == 1),
            frozenset(task for task, answer in told.items() if answer == 2),  # noqa: PLR2004 - as the script says
        )

    def clear(self, task: str) -> None:
        """Take the mark away, before the task looks for work: what comes later rings anew.

        Raises:
            RedisDown: the mark stays until it expires.
        """
        with translated():
            self._client.delete(f"bell:{task}")

    def wait(self, task: str, *, wait_s: float) -> bool:
        """Wait to be called to a task, unless another does, or its bell is rung; tell if it was.

        Raises:
            RedisDown: nobody knows. A call may be lost with it, and the sweep comes.
        """
        keys, life_ms = _keys(task), int(wait_s * 1000) + _WITHDRAWN_WITHIN_MS
        with shared():
            if not self._begin_wait(keys=keys, args=[life_ms]):
                return False
            called = self._client.blpop([keys[2]], timeout=wait_s)
            return bool(called or self._end_wait(keys=keys))


def _keys(task: str) -> tuple[str, str, str]:
    return f"bell:{task}", f"bell-waits:{task}", f"bell-calls:{task}"
