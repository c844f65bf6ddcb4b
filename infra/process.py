"""Tie a process to its parent, so that no crash leaves an orphan running."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

# Loaded once, before any fork: opening a library in the child of a fork is not safe.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent_pid: int | None = None, *, by: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to send this process `by` as soon as its parent has ended.

    `parent_pid` is the parent as known before the fork: one that ended before the kernel was asked
    is noticed, and the process signals itself. Without it, that moment stays uncovered.

    The order follows the *thread* of the parent that forked, passes to no child, and outlasts an
    exec. Only Linux knows it: elsewhere nothing happens, and an ordered stop must do.

    Source: https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html, 2026-11.
    """
    if _libc is None:
        return
    expected = parent_pid or os.getppid()
    _libc.prctl(_PR_SET_PDEATHSIG, int(by), 0, 0, 0)
    if os.getppid() != expected:
        os.kill(os.getpid(), by)
