"""What the running task has in hand, told by the business as it takes something up.

A task has no arguments: what it does stands in rows. So that its history can say what it did, the
business names each thing that a person has asked for, or may ask for again. Outside of a task
nobody listens, and nothing happens.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass
class Thing:
    """One thing taken up: `arguments` say which, `request_id` who asked for it.

    One that may be taken up many times has a `key`, under which it has one row in the history.
    """

    arguments: Mapping[str, Any]
    key: str | None = None
    request_id: str | None = None
    has_ended: bool = False
    error: str | None = None

    def end(self, error: str | None = None) -> None:
        """Say that it is done, or why it did not work out; the task goes on."""
        self.has_ended, self.error = True, error


Listener = Callable[[Sequence[Thing]], None]
_listener: ContextVar[Listener | None] = ContextVar("in_hand_listener", default=None)


def take_up(*things: Thing) -> None:
    """Tell that the task takes things up."""
    listener = _listener.get()
    if listener is not None and things:
        listener(things)


def listen(listener: Listener | None) -> None:
    """Hear of everything that is taken up from now on, until somebody else listens."""
    _listener.set(listener)
