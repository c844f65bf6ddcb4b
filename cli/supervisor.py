"""Keep a set of programs running: started as what they need is ready, restarted when they die."""

import time
from collections.abc import Iterable
from enum import Enum, auto

from cli.child import Child
from cli.service import (
    Died,
    Event,
    Hung,
    JobFailed,
    Patience,
    Ready,
    Service,
    Started,
    StartFailed,
    StopStage,
    exit_reason,
)

STOP_GRACE_S = 8.0
_STAGE_S = 0.75
_TAIL_LINES = 12
_CANNOT_EXECUTE = 127  # as a shell says it


class Supervisor:
    """The programs of one run. Nothing happens but in `tick` and `advance_stop`."""

    def __init__(self, services: Iterable[Service], *, patience: Patience | None = None) -> None:
        patience = patience or Patience()
        self._members = {service.name: _Member(service, patience) for service in services}

    def tick(self) -> list[Event]:
        """Start, probe and restart what is due, and tell what happened.

        Raises:
            StartFailed: a program that was never ready has used up its tries.
        """
        events = []
        for member in self._members.values():
            may_start = all(self._members[name].is_ready for name in member.service.needs)
            if event := member.step(may_start=may_start):
                events.append(event)
        return events

    @property
    def all_ready(self) -> bool:
        """True when every program is ready and every job is done."""
        return all(member.is_ready for member in self._members.values())

    @property
    def pids(self) -> dict[str, int]:
        """The running programs by name."""
        return {name: member.child.pid for name, member in self._members.items() if member.child}

    def advance_stop(self, elapsed_s: float, *, grace_s: float = STOP_GRACE_S) -> bool:
        """Take the stop one step further, and tell whether everything has ended.

        Stage by stage: SIGTERM at once, SIGKILL to the whole group when the stage's time, counted
        from the begin of the stop, is over.
        """
        for stage in StopStage:
            running = [
                member
                for member in self._members.values()
                if member.service.stop_stage is stage and member.is_running
            ]
            for member in running:
                member.stop(by_force=elapsed_s >= grace_s + stage * _STAGE_S)
            if running:
                return False
        return True


class _State(Enum):
    WAITING = auto()
    STARTING = auto()
    READY = auto()


class _Member:
    """One service with what has become of it so far."""

    def __init__(self, service: Service, patience: Patience) -> None:
        self.service = service
        self.child: Child | None = None
        self._patience = patience
        self._state = _State.WAITING
        self._was_ready = False
        self._told_to_stop = False
        self._failures = 0
        self._since = 0.0
        self._start_at = 0.0

    @property
    def is_ready(self) -> bool:
        return self._state is _State.READY

    @property
    def is_running(self) -> bool:
        return self.child is not None and self.child.exit_code() is None

    def step(self, *, may_start: bool) -> Event | None:
        if self._state is _State.WAITING:
            return self._start() if may_start and time.monotonic() >= self._start_at else None
        if self.child is None:
            return None
        code = self.child.exit_code()
        if code is not None:
            return self._ended(self.child, code)
        if self._state is _State.STARTING:
            return self._watch_start(self.child)
        return self._watch_health(self.child)

    def stop(self, *, by_force: bool) -> None:
        if self.child is None:
            return
        if by_force:
            self.child.kill()
        elif not self._told_to_stop:
            self.child.terminate()
            self._told_to_stop = True

    def _start(self) -> Event:
        if self.service.probe:
            self.service.probe.begin()
        try:
            self.child = Child(
                self.service.command,
                env=self.service.env,
                cwd=self.service.cwd,
                log=self.service.log,
            )
        except OSError as error:  # no memory for a fork, no such program
            return self._try_again(_CANNOT_EXECUTE, (str(error),))
        self._enter(_State.STARTING)
        return Started(self.service.name, self.child.pid)

    def _watch_start(self, child: Child) -> Event | None:
        if self.service.probe and self.service.probe.ready():
            return self._became_ready()
        if not self._was_ready and self._age_s > self._patience.start_timeout_s:
            reason = f"it was not ready after {self._age_s:.0f} s"
            lines = child.last_lines(_TAIL_LINES)
            raise StartFailed(self.service, reason=reason, last_lines=lines)
        return self._watch_health(child)

    def _watch_health(self, child: Child) -> Event | None:
        if self.service.probe and not self.service.probe.alive():
            child.kill()
            return Hung(self.service.name)
        child.limit_log()
        if self.is_ready and self._age_s > self._patience.healthy_after_s:
            self._failures = 0
        return None

    def _ended(self, child: Child, code: int) -> Event:
        if self.service.probe is None and code == 0:
            self.child = None
            return self._became_ready()
        return self._try_again(code, child.last_lines(_TAIL_LINES))

    def _try_again(self, code: int, last_lines: tuple[str, ...]) -> Event:
        self.child = None
        self._failures += 1
        if self.service.probe is None:
            raise JobFailed(self.service, exit_code=code, last_lines=last_lines)
        if not self._was_ready and self._failures >= self._patience.start_tries:
            reason = f"it ended with {exit_reason(code)}"
            raise StartFailed(self.service, reason=reason, last_lines=last_lines)
        delay_s = self._patience.delay_s(self._failures)
        self._start_at = time.monotonic() + delay_s
        self._enter(_State.WAITING)
        return Died(self.service.name, code, delay_s, last_lines)

    def _became_ready(self) -> Event:
        after_s = self._age_s
        self._was_ready = True
        self._enter(_State.READY)
        return Ready(self.service.name, after_s)

    def _enter(self, state: _State) -> None:
        self._state = state
        self._since = time.monotonic()

    @property
    def _age_s(self) -> float:
        return time.monotonic() - self._since
