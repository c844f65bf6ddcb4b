"""One outstanding bell per task: a thousand changes a second are not a thousand messages."""

from infra.redis import Client, set_for_a_while, translated

LIFE_S = 5


class Bells:
    """Marks in Redis that say which task has been rung and has not yet begun."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def claim(self, *tasks: str) -> set[str]:
        """Mark tasks as rung, in one question; return those that nobody else has just marked.

        Raises:
            RedisDown: nobody knows.
        """
        with translated(), self._client.pipeline(transaction=False) as marks:
            for task in tasks:
                set_for_a_while(marks, f"bell:{task}", 1, life_ms=LIFE_S * 1000)
            new = marks.execute()[::2]
        return {task for task, is_new in zip(tasks, new, strict=True) if is_new}

    def clear(self, task: str) -> None:
        """Take the mark away, before the task looks for work: what comes later rings anew.

        Raises:
            RedisDown: the mark stays until it expires.
        """
        with translated():
            self._client.delete(f"bell:{task}")
