"""What a data folder knows of the run that uses it: the lock, `run.json`, and what is kept."""

import fcntl
import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.ports import is_free, pick_free
from infra.errors import AppError


class FolderInUse(AppError):
    """Another run works on the same data folder."""

    code = "folder_in_use"

    def __init__(self, folder: Path, *, pid: str) -> None:
        super().__init__(
            f"Another run{f' (process {pid})' if pid else ''} uses the data in {folder}: stop it, "
            "or set DATA_DIR to another folder."
        )


class FolderUnusable(AppError):
    """The data folder cannot be made or written."""

    code = "folder_unusable"

    def __init__(self, folder: Path, *, reason: str) -> None:
        super().__init__(f"DATA_DIR {folder} cannot be used ({reason}): choose another folder.")


class RunFolder:
    """A data folder held by one run; the kernel gives it free however the run ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._told: str | None = None

    def __enter__(self) -> Self:
        """Take the folder, and remove what a killed run has left.

        Raises:
            FolderInUse: another run holds it.
            FolderUnusable: it cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "run.lock").open("a+")
        except OSError as error:
            raise FolderUnusable(self.path, reason=error.strerror or str(error)) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.seek(0)
            with self._lock:
                raise FolderInUse(self.path, pid=self._lock.read().strip()) from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        self._file.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
        self._lock.close()

    def tell(self, *, ready: bool, services: dict[str, dict[str, str | int]]) -> None:
        """Write `run.json` in one step, if it would change: readers never see half of it."""
        text = json.dumps({"ready": ready, "services": services}, indent=2) + "\n"
        if text == self._told:
            return
        draft = self._file.with_suffix(".json.new")
        draft.write_text(text)
        draft.replace(self._file)
        self._told = text

    def kept_secret(self, name: str) -> str:
        """Give the random secret kept in the folder under this name; make it the first time."""
        file = self.path / name
        if not file.exists():
            # Complete before it has its name: a crash in between must not leave an empty secret.
            draft = file.with_name(f"{name}.new")
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_urlsafe(32))
            draft.replace(file)
        return file.read_text().strip()

    def kept_port(self, name: str) -> int:
        """Give the port kept in the folder under this name while it is free, else keep another."""
        file = self.path / name
        kept = file.read_text().strip() if file.exists() else ""
        if kept.isdecimal() and int(kept) and is_free(int(kept)):
            return int(kept)
        (port,) = pick_free(1)
        file.write_text(f"{port}\n")
        return port

    @property
    def _file(self) -> Path:
        return self.path / "run.json"
