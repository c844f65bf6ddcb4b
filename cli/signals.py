"""Signals as values to wait for, so that no handler interrupts the program anywhere."""

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Self

STOPPING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


class SignalInbox:
    """Collects what asks for a stop, and wakes up when a child has ended."""

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        # After `nohup`, the end of the terminal is to be survived.
        wanted = {
            number
            for number in STOPPING | {signal.SIGCHLD}
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
        }
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
        select.select([self._reader], [], [], timeout_s)
        try:
            received = os.read(self._reader, 512)
        except BlockingIOError:
            return set()
        return {signal.Signals(number) for number in received} & STOPPING


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the number is in the pipe already."""
