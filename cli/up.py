"""`tradepost up`: everything on this machine, started, watched and stopped together."""

import math
import os
import signal
import time
from contextlib import suppress
from typing import Annotated

import typer

from cli import STARTED_BY
from cli.announcement import announcement
from cli.checks import check_start
from cli.display import Display
from cli.logtail import LogFollower
from cli.plan import Plan, make_plan
from cli.runfile import RunFolder
from cli.service import StartFailed
from cli.signals import SignalInbox
from cli.supervisor import STOP_GRACE_S, Supervisor
from infra.process import die_with_parent
from infra.settings import load_settings

_LOOK_WHILE_STARTING_S = 0.1
_LOOK_WHILE_RUNNING_S = 0.5
# Whoever started the run was killed: nobody waits for last answers, and leases cover the rest.
_ORPHAN_GRACE_S = 1.0

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the logs of all programs.")]


def up(verbose: Verbose = False) -> None:
    """Start everything on this machine; Ctrl-C stops it.

    The run ends with the process that started it.
    """
    settings = load_settings()
    with RunFolder(settings.data_dir.absolute()) as folder:
        check_start(settings)
        with SignalInbox() as inbox:
            Run(make_plan(settings, folder), folder, inbox, verbose=verbose).carry_out()


class Run:
    """One run from the first start to the last stop."""

    def __init__(self, plan: Plan, folder: RunFolder, inbox: SignalInbox, *, verbose: bool) -> None:
        self._plan = plan
        self._folder = folder
        self._inbox = inbox
        self._supervisor = Supervisor(plan.services)
        self._display = Display(service.name for service in plan.services)
        followed = plan.services if verbose else ()
        self._logs = LogFollower((service.name, service.log) for service in followed)

    def carry_out(self) -> None:
        """Start everything, keep it running until a signal asks for the stop, and stop it.

        Raises:
            StartFailed: a program did not come up; everything has been stopped again.
        """
        die_with_parent(STARTED_BY, by=signal.SIGTERM)
        try:
            self._serve()
        except StartFailed as failure:
            self._display.settle()
            self._display.quote(failure.name, failure.last_lines)
            raise
        finally:
            self._display.settle()
            self._stop()

    def _serve(self) -> None:
        began = time.monotonic()
        announced = False
        while not self._inbox.wait(_LOOK_WHILE_RUNNING_S if announced else _LOOK_WHILE_STARTING_S):
            for event in self._supervisor.tick():
                self._display.show(event)
            for name, line in self._logs.new_lines():
                self._display.quote(name, [line])
            if self._supervisor.all_ready and not announced:
                announced = True
                self._display.settle()
                self._display.say(announcement(self._plan, after_s=time.monotonic() - began))
            if announced:
                self._tell()
            self._display.refresh()

    def _stop(self) -> None:
        began = time.monotonic()
        grace_s = STOP_GRACE_S
        self._display.say("Stopping; Ctrl-C again stops at once.")
        while not self._supervisor.advance_stop(time.monotonic() - began, grace_s=grace_s):
            asked = self._inbox.wait(_LOOK_WHILE_STARTING_S)
            if signal.SIGINT in asked:
                grace_s = -math.inf
            elif os.getppid() != STARTED_BY:
                grace_s = min(grace_s, _ORPHAN_GRACE_S)
        self._display.say(f"Stopped after {time.monotonic() - began:.1f} s.")

    def _tell(self) -> None:
        pids = self._supervisor.pids
        services: dict[str, dict[str, str | int]] = {}
        for place in self._plan.places:
            told = services[place.name] = {}
            if place.url:
                told["url"] = place.url
            if place.service in pids:
                told["pid"] = pids[place.service]
        with suppress(OSError):  # a full disk does not end what still works
            self._folder.tell(ready=self._supervisor.all_ready, services=services)
