"""Signals as values to wait for, so that no handler interrupts the program anywhere."""

import os
import select
import signal
import sys
from types import FrameType, TracebackType
from typing import Self

STOPPING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


class SignalInbox:
    """Collects what asks for a stop, and wakes up when a child has ended."""

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        wanted = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # it is ignored after `nohup`
            wanted.add(signal.SIGHUP)
            self._watch_terminal()
        self._before = {number: signal.signal(number, _wake) for number in wanted}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, timeout_s: float) -> set[signal.Signals]:
        """Sleep until a signal comes or the time is over, and give those that ask for a stop."""
        asked = set()
        for source, event in self._poll.poll(timeout_s * 1000):
            if source == self._reader:
                asked |= {signal.Signals(number) for number in os.read(self._reader, 512)}
            elif event & (select.POLLHUP | select.POLLERR):
                self._poll.unregister(source)
                asked.add(signal.SIGHUP)
        return asked & STOPPING

    def _watch_terminal(self) -> None:
        """Notice the end of our terminal where nobody forwards the signal for it.

        The kernel sends SIGHUP to the session's leader alone. A shell passes it on; `make`, when
        it leads the session itself (`ssh -t host make run`), does not.
        """
        terminal = sys.stdin.fileno() if sys.stdin else -1
        if terminal >= 0 and os.isatty(terminal) and os.tcgetpgrp(terminal) == os.getpgrp():
            self._poll.register(terminal, 0)


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the number is in the pipe already."""
