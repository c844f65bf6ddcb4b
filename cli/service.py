"""A program that is to run, and what can happen to it."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from cli.probes import Probe
from infra.errors import AppError


class StopStage(IntEnum):
    """When a program is stopped: those that use others before those that are used."""

    WORK = 0
    OUTSIDE = 1
    STORE = 2


@dataclass(frozen=True)
class Service:
    """A program to run; without a probe it is a job, done when it ends with 0."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    probe: Probe | None = None
    needs: frozenset[str] = frozenset()
    stop_stage: StopStage = StopStage.WORK


@dataclass(frozen=True)
class Patience:
    """How long and how often to try, in seconds."""

    start_tries: int = 3
    start_timeout_s: float = 60.0
    first_delay_s: float = 0.5
    longest_delay_s: float = 10.0
    healthy_after_s: float = 30.0

    def delay_s(self, failures: int) -> float:
        """Give the pause after so many failures in a row: doubling, up to the longest."""
        doubled = 1 << min(failures - 1, 16)  # what fails all night must not overflow
        return min(self.first_delay_s * doubled, self.longest_delay_s)


@dataclass(frozen=True)
class Started:
    """A program was started."""

    name: str
    pid: int


@dataclass(frozen=True)
class Ready:
    """A program can do its work, or a job is done."""

    name: str
    after_s: float


@dataclass(frozen=True)
class Died:
    """A program has ended unasked and will be started again."""

    name: str
    exit_code: int
    again_in_s: float
    last_lines: tuple[str, ...]


@dataclass(frozen=True)
class Hung:
    """A program gave no sign of life any more and was killed."""

    name: str


Event = Started | Ready | Died | Hung


class StartFailed(AppError):
    """A program does not come up at all, or a job cannot be done."""

    code = "start_failed"

    def __init__(self, service: Service, *, reason: str, last_lines: tuple[str, ...]) -> None:
        super().__init__(f"{service.name} could not be started: {reason}; see {service.log}.")
        self.name = service.name
        self.last_lines = last_lines


class JobFailed(StartFailed):
    """A job has failed, and its own last words say why."""

    def __init__(self, service: Service, *, exit_code: int, last_lines: tuple[str, ...]) -> None:
        super().__init__(service, reason=f"exit code {exit_code}", last_lines=last_lines[:-1])
        self.detail = last_lines[-1] if last_lines else self.detail


def exit_reason(code: int) -> str:
    """Put an exit code into words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
