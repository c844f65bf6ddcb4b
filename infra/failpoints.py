"""Places where tests crash a process to see that another one finishes its work.

Nothing happens unless `FAILPOINTS` names the place, as `<name>=kill` or `<name>=stop`, several
joined by commas, and `FAILPOINTS_DIR` a folder. Each place fires once over all processes: whoever
makes its file in the folder first.
"""

import os
import signal
from pathlib import Path

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def _armed() -> dict[str, signal.Signals]:
    named = (part.partition("=") for part in os.environ.get("FAILPOINTS", "").split(",") if part)
    return {name: _SIGNALS[action] for name, _, action in named}


_ARMED = _armed()


def reach(name: str) -> None:
    """Crash or stop here if a test has armed this place and nobody has been here before."""
    if name not in _ARMED:
        return
    marker = Path(os.environ["FAILPOINTS_DIR"]) / name
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), _ARMED[name])
