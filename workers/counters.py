"""How often each task ran in any worker, how it ended, and how long it took."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from workers import deps

# The last one is the longest that a task without a limit of its own may take.
BUCKETS_S = (0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0)
_SEPARATOR = "|"


class Ending(StrEnum):
    """How a run ended; a killed one could not tell how long it took."""

    DONE = "done"
    FAILED = "failed"
    KILLED = "killed"


_LIMITS = frozenset(str(limit) for limit in (*BUCKETS_S, float("inf")))
_ENDINGS = frozenset(Ending)


@dataclass
class Runs:
    """The runs of one task: by ending, and by the bucket that their duration falls into."""

    ended: dict[str, float] = field(default_factory=dict)
    buckets: dict[float, float] = field(default_factory=dict)
    seconds: float = 0.0


def count(task: str, ending: Ending, *, took_s: float | None = None) -> None:
    """Count a run."""
    amounts = {_name(task, ending): 1.0}
    if took_s is not None:
        within = next((limit for limit in BUCKETS_S if took_s <= limit), float("inf"))
        amounts |= {_name(task, "le", within): 1.0, _name(task, "seconds"): took_s}
    deps.tally().add(amounts)


def sort(counted: Mapping[str, float]) -> Iterator[tuple[str, Runs]]:
    """Sort what was counted by task; what counts no runs is left out."""
    runs: dict[str, Runs] = {}
    for name, amount in counted.items():
        match name.split(_SEPARATOR):
            case [task, "seconds"]:
                runs.setdefault(task, Runs()).seconds = amount
            case [task, "le", limit] if limit in _LIMITS:
                runs.setdefault(task, Runs()).buckets[float(limit)] = amount
            case [task, ending] if ending in _ENDINGS:
                runs.setdefault(task, Runs()).ended[ending] = amount
    yield from sorted(runs.items())


def _name(*parts: object) -> str:
    return _SEPARATOR.join(str(part) for part in parts)
