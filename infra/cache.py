"""Small answers kept in Redis for a while; losing them costs a refresh, never a fact."""

import orjson
from redis import ResponseError

from infra.logs import log
from infra.redis import Client, translated


class Cache:
    """JSON documents under string keys, each with a life of its own."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def find(self, key: str) -> dict[str, object] | None:
        """Find a document.

        Raises:
            RedisDown: the cache cannot be reached.
        """
        try:
            with translated():
                return read_document(self._client.get(key))
        except ResponseError:  # a list or a hash under our key: somebody else's
            return None

    def take(self, key: str) -> dict[str, object] | None:
        """Find a document and forget it; of several who ask at once, one gets it.

        Raises:
            RedisDown: the cache cannot be reached.
        """
        try:
            with translated():
                return read_document(self._client.getdel(key))
        except ResponseError:  # as above
            return None

    def put(self, key: str, document: dict[str, object], *, life_s: int) -> None:
        """Keep a document for `life_s` seconds.

        Raises:
            RedisDown: the cache cannot be reached.
        """
        with translated():
            self._client.set(key, orjson.dumps(document), ex=life_s)


def read_document(found: object) -> dict[str, object] | None:
    """Read what was found under a key; what somebody else has put there is as good as nothing."""
    if not isinstance(found, bytes):
        return None
    try:
        document = orjson.loads(found)
    except ValueError:
        log.warning("cached_document_not_ours")
        return None
    return document if isinstance(document, dict) else None
