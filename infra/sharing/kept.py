"""Keys that several processes keep, each of one kind and all of them such as may be lost.

Whoever can write to Redis may put something of another kind there. Nobody can use that, and what
stood there before is gone: it is taken away, and the work goes on as after a flush.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeVar

from redis import ResponseError

from infra.logs import log
from infra.redis import AsyncClient, Client, shared, translated

T = TypeVar("T")
Kinds = Mapping[str, Literal["set", "zset", "hash"]]

# All of them go, since what one holds may make sense only beside the others. Looked at and taken
# away in one step: what somebody of ours has begun anew meanwhile stays.
_CLEAR = """
local foreign = {}
for at, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and kind ~= ARGV[at] then foreign[#foreign + 1] = key end
end
if #foreign > 0 then redis.call('UNLINK', unpack(KEYS)) end
return foreign
"""


def act_on(client: Client, kinds: Kinds, act: Callable[[], T]) -> T:
    """Do something with keys of ours; once more without what somebody else has put there.

    Raises:
        RedisDown: Redis cannot be reached or cannot serve.
    """
    try:
        with translated():
            return act()
    except ResponseError:
        with shared():
            _tell(client.eval(_CLEAR, len(kinds), *kinds, *kinds.values()))
            return act()


async def act_on_async(client: AsyncClient, kinds: Kinds, act: Callable[[], Awaitable[T]]) -> T:
    """Do the same in an event loop.

    Raises:
        RedisDown: Redis cannot be reached or cannot serve.
    """
    try:
        with translated():
            return await act()
    except ResponseError:
        with shared():
            _tell(await client.eval(_CLEAR, len(kinds), *kinds, *kinds.values()))
            return await act()


def _tell(foreign: list[bytes]) -> None:
    """Say what was taken away: only who took it away has anything to say."""
    for key in foreign:
        log.error("redis_key_deleted", key=key.decode(errors="replace"))
