"""Faults on demand: arm one by name, and the next requests that match it suffer it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sandbox.wire import Refusal

COMMON = ("slow", "hang", "http_500", "http_429", "garbage", "html")
COMMON_FIELDS = ("path", "method", "id")
DEFAULT_DELAY_S = 2.0
DEFAULT_OFFSET_S = -3600.0
LONGEST_DELAY_S = 3600.0
_KEYS = {"fault", "times", "match", "delay_s", "offset_s", "status"}


@dataclass(slots=True)
class Fault:
    """One armed fault; `left` None means that it stays until it is cleared."""

    name: str
    left: int | None
    match: dict[str, str]
    delay_s: float = DEFAULT_DELAY_S
    offset_s: float = DEFAULT_OFFSET_S
    status: int = 200

    def strikes(self, fields: Callable[[], Mapping[str, object]]) -> bool:
        """Tell whether it wants a request with these fields, which are read only if need be."""
        if not self.match:
            return True
        found = fields()
        return all(key in found and str(found[key]) == value for key, value in self.match.items())

    def describe(self) -> dict[str, object]:
        """Return the fault as the control surface shows it."""
        return {
            "fault": self.name,
            "times": self.left,
            "match": self.match,
            "delay_s": self.delay_s,
            "offset_s": self.offset_s,
            "status": self.status,
        }


class FaultBook:
    """The faults one stand-in knows, those that are armed, and how often each has struck."""

    def __init__(self, own: Iterable[str], *, fields: Iterable[str], prefix: str = "") -> None:
        self.names = (*COMMON, *own)
        self._fields = frozenset((*COMMON_FIELDS, *fields))
        self._prefix = prefix
        self._armed: list[Fault] = []
        self._struck: Counter[str] = Counter()

    def arm(self, wish: Mapping[str, object]) -> Fault:
        """Arm a fault: `{"fault", "times"?, "match"?, "delay_s"?, "offset_s"?, "status"?}`.

        Without `times`, or with null, it strikes until it is cleared.

        Raises:
            Refusal: 422, a name or field nobody knows, or a value that cannot be.
        """
        if unknown := set(wish) - _KEYS:
            raise _unusable(f"Unknown field: {', '.join(sorted(unknown))}.")
        name = wish.get("fault")
        if not isinstance(name, str) or name not in self.names:
            raise _unusable(f"Unknown fault {name!r}. Known: {', '.join(self.names)}.")
        fault = Fault(
            name,
            left=_times(wish.get("times")),
            match=self._match(wish.get("match")),
            delay_s=_number(wish, "delay_s", DEFAULT_DELAY_S, lowest=0, highest=LONGEST_DELAY_S),
            offset_s=_number(wish, "offset_s", DEFAULT_OFFSET_S, lowest=-1e9, highest=1e9),
            status=int(_number(wish, "status", 200, lowest=200, highest=599)),
        )
        self._armed.append(fault)
        return fault

    def take(
        self, names: Iterable[str], fields: Callable[[], Mapping[str, object]]
    ) -> Fault | None:
        """Let the first armed fault of these names that matches strike once, and return it."""
        for fault in self._armed:
            if fault.name in names and fault.strikes(fields):
                self._strike(fault)
                return fault
        return None

    def clear(self) -> None:
        """Disarm everything and forget what has struck."""
        self._armed.clear()
        self._struck.clear()

    def describe(self) -> dict[str, object]:
        """Return the known names, the armed faults and the count of strikes by name."""
        return {
            "names": list(self.names),
            "armed": [fault.describe() for fault in self._armed],
            "struck": dict(self._struck),
        }

    def _strike(self, fault: Fault) -> None:
        self._struck[fault.name] += 1
        if fault.left is None:
            return
        fault.left -= 1
        if fault.left == 0:
            self._armed.remove(fault)

    def _match(self, value: object) -> dict[str, str]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise _unusable("`match` must be an object.")
        if unknown := set(value) - self._fields:
            known = ", ".join(sorted(self._fields))
            raise _unusable(f"`match` knows no {', '.join(sorted(unknown))}. Known: {known}.")
        match = {key: str(wanted) for key, wanted in value.items()}
        if "path" in match:
            match["path"] = match["path"].removeprefix(self._prefix)
        return match


def _times(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _unusable("`times` must be a whole number above 0, or null for always.")
    return value


def _number(
    wish: Mapping[str, object], key: str, default: float, *, lowest: float, highest: float
) -> float:
    value = wish.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unusable(f"`{key}` must be a number.")
    if not lowest <= value <= highest:
        raise _unusable(f"`{key}` must be between {lowest:g} and {highest:g}.")
    return float(value)


def _unusable(message: str) -> Refusal:
    return Refusal(422, "unusable_fault", message)
