"""What a person sees of a run: live steps on a terminal, plain lines elsewhere."""

import io
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import IO, TextIO, cast

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.service import Died, Event, Hung, Ready, Started, exit_reason

_LINES_OF_THE_DEAD = 4


class Display:
    """Shows events as they come. It has no thread of its own: `refresh` moves the spinner."""

    def __init__(self, names: Iterable[str]) -> None:
        self.console = Console(file=cast("IO[str]", _Unbreakable(sys.stdout)), highlight=False)
        self._live = Live(console=self.console, auto_refresh=False)
        self._steps: dict[str, RenderableType] = dict.fromkeys(names, Text("waiting", style="dim"))
        if self.console.is_terminal:
            self._live.start()

    def show(self, event: Event) -> None:
        """Tell one event."""
        match event:
            case Started(name):
                self._steps[name] = Spinner("dots", "starting")
            case Ready(name, after_s):
                self._steps[name] = Text(f"ready  {after_s:.1f} s", style="green")
                self._say(f"{name} ready after {after_s:.1f} s")
            case Hung(name):
                self._say(f"{name} gave no sign of life any more: killed", always=True)
            case Died(name, code, again_in_s, last_lines):
                self._steps[name] = Text("failed, trying again", style="yellow")
                said = f"{name} ended: {exit_reason(code)}; starting again in {again_in_s:.1f} s"
                self._say(said, always=True)
                self.quote(name, last_lines[-_LINES_OF_THE_DEAD:])

    def refresh(self) -> None:
        """Draw the steps again, as long as they are shown."""
        if self._live.is_started:
            self._live.update(self._drawn_steps(), refresh=True)

    def settle(self) -> None:
        """Leave the steps as they are and go on in plain lines."""
        if self._live.is_started:
            self.refresh()
            self._live.stop()

    def say(self, text: str | RenderableType) -> None:
        """Print something for people to read."""
        self.console.print(text, soft_wrap=True)

    def quote(self, name: str, lines: Sequence[str]) -> None:
        """Print lines of a program's log, marked with its name and otherwise as they are."""
        for line in lines:
            self.console.print(Text(f"{name} | ", style="dim") + Text(line), soft_wrap=True)

    def _say(self, text: str, *, always: bool = False) -> None:
        if always or not self._live.is_started:
            self.console.print(f"{time.strftime('%H:%M:%S')} {text}", soft_wrap=True, markup=False)

    def _drawn_steps(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for name, step in self._steps.items():
            table.add_row(name, step)
        return table


class _Unbreakable(io.TextIOBase):
    """A stream whose loss does not matter: the run goes on when its terminal or pipe is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only here
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            return self._give_up(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._give_up("")

    def _give_up(self, text: str) -> int:
        # What is still buffered goes nowhere too, or Python would complain about it at its end.
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - not a path of ours
            os.dup2(nowhere.fileno(), self._stream.fileno())
        return len(text)
