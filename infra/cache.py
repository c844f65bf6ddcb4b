"""Small answers kept in Redis for a while; losing them costs a refresh, never a fact."""

import orjson

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
        with translated():
            return _document(self._client.get(key))

    def take(self, key: str) -> dict[str, object] | None:
        """Find a document and forget it; of several who ask at once, one gets it.

        Raises:
            RedisDown: the cache cannot be reached.
        """
        with translated():
            return _document(self._client.getdel(key))

    def put(self, key: str, document: dict[str, object], *, life_s: int) -> None:
        """Keep a document for `life_s` seconds.

        Raises:
            RedisDown: the cache cannot be reached.
        """
        with translated():
            self._client.set(key, orjson.dumps(document), ex=life_s)


def _document(found: object) -> dict[str, object] | None:
    if not isinstance(found, bytes):
        return None
    document: dict[str, object] = orjson.loads(found)
    return document
