import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT, clean_environment, eventually

FAKE_RUN = Path(__file__).with_name("fake_run.py")


def is_running(pid: int) -> bool:
    """Tell a running process from one that is gone or only waits for its parent to look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone, or going as we look
        return False


class FakeRun:
    """A run of small programs, seen from outside: its process, its folder, its run.json."""

    def __init__(self, folder: Path, *programs: str, parent: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*parent, sys.executable, str(FAKE_RUN), str(folder), *programs],
            cwd=ROOT,
            env=clean_environment({"PYTHONPATH": str(ROOT)}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def told(self) -> dict[str, Any]:
        file = self.folder / "run.json"
        if not file.exists():
            return {"ready": False, "services": {}}
        told: dict[str, Any] = json.loads(file.read_text())
        return told

    def wait_ready(self) -> dict[str, Any]:
        eventually(lambda: self.told()["ready"], 60)
        services: dict[str, Any] = self.told()["services"]
        return services

    def pid(self, name: str) -> int:
        return int(self.told()["services"].get(name, {}).get("pid", 0))

    def stops(self) -> list[str]:
        file = self.folder / "stopped"
        return file.read_text().splitlines() if file.exists() else []

    def end(self) -> tuple[int, str]:
        said, _ = self.process.communicate(timeout=60)
        return self.process.returncode, said
