"""Follow the log files of all programs, for people who want to see everything."""

from collections.abc import Iterable, Iterator
from pathlib import Path

_CHUNK_BYTES = 65_536


class LogFollower:
    """Reads what has been added to each file since the last look, in whole lines."""

    def __init__(self, files: Iterable[tuple[str, Path]]) -> None:
        self._tails = [_Tail(name, file) for name, file in files]

    def new_lines(self) -> Iterator[tuple[str, str]]:
        """Give (name, line) for every line that was completed since the last call."""
        for tail in self._tails:
            for line in tail.read():
                yield tail.name, line


class _Tail:
    def __init__(self, name: str, file: Path) -> None:
        self.name = name
        self._file = file
        self._position = file.stat().st_size if file.exists() else 0

    def read(self) -> list[str]:
        if not self._file.exists():
            return []
        if self._file.stat().st_size < self._position:  # the file was put away, a new one begun
            self._position = 0
        with self._file.open("rb") as log:
            log.seek(self._position)
            whole = log.read(_CHUNK_BYTES).rpartition(b"\n")[0]
        if not whole:
            return []
        self._position += len(whole) + 1
        return whole.decode(errors="replace").split("\n")
