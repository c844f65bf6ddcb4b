"""A file that is touched while a worker or beat turns its own loop.

`inspect ping` is slow and falsely negative; a file's age is neither. A thread would go on touching
it while the loop hangs, so the loop itself does.
"""

from typing import Any

from celery import Celery, bootsteps, signals

from workers import deps

INTERVAL_S = 2.0
_silent = False


def install(app: Celery) -> None:
    """Make workers of this application keep a heartbeat, if `HEARTBEAT_FILE` names a file."""
    app.steps["worker"].add(_Heartbeat)


def touch(**_kwargs: object) -> None:
    """Say that this process is alive and takes work."""
    path = deps.settings().heartbeat_file
    if path is not None and not _silent:
        path.touch()


def fall_silent() -> None:
    """Say no more that this process is alive, since it does not do its work."""
    global _silent  # noqa: PLW0603 - a process is silent for good
    _silent = True


class _Heartbeat(bootsteps.StartStopStep):
    """Touches the file on the worker's own timer."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:  # noqa: ANN401 - celery's worker
        super().__init__(parent, **kwargs)
        self._entry: Any = None

    def start(self, parent: Any) -> None:  # noqa: ANN401 - celery's worker
        """Begin touching."""
        self._entry = parent.timer.call_repeatedly(INTERVAL_S, touch)

    def stop(self, parent: Any) -> None:  # noqa: ANN401, ARG002 - celery's worker
        """Stop touching."""
        if self._entry is not None:
            self._entry.cancel()


signals.worker_ready.connect(touch)
signals.beat_init.connect(touch)
