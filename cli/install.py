"""Make `.venv` and install pinned requirements. Needs only the standard library.

The Makefile runs this: python -m cli.install requirements.txt .venv/.installed
"""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
_TOLD_EVERY = 10
_LAST_LINES = 25
_AT_PACKAGE = re.compile(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)")
_LAUNCHER = """#!/bin/sh
PYTHONPATH="{root}${{PYTHONPATH:+:$PYTHONPATH}}" exec "{python}" -m cli "$@"
"""


def main() -> None:
    """Install the requirements named first, then touch the file named second."""
    requirements, stamp = (ROOT / argument for argument in sys.argv[1:3])
    began = time.monotonic()
    uv = shutil.which("uv")
    if not _venv_serves(needs_pip=uv is None):
        _say(f"Making .venv with Python {sys.version.split()[0]} ...")
        _make_venv(uv)
    count = len(re.findall(r"^[\w.-]+(?:\[.*\])?==", requirements.read_text(), re.MULTILINE))
    _say(f"Installing {count} packages of {requirements.name}; this is done once ...")
    _install(requirements, count=count, uv=uv)
    _write_launcher()
    stamp.touch()
    _say(f"Installed in {time.monotonic() - began:.0f} s.")


def _venv_serves(*, needs_pip: bool) -> bool:
    """Tell whether there is a .venv whose Python still runs, is new enough and can install."""
    look = f"import sys; sys.exit(sys.version_info < {OLDEST})"
    if needs_pip:
        look = f"import pip; {look}"
    try:
        return _run([str(PYTHON), "-c", look]).returncode == 0
    except OSError:
        return False


def _make_venv(uv: str | None) -> None:
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if uv:
        command = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV)]
    made = _run(command)
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(
            f"{made.stdout.strip()}\n"
            "Python's venv module does not work here: install it (Debian and Ubuntu: "
            "`apt-get install python3-venv`), or name another Python, as in "
            "`make run PYTHON=python3.12`."
        )


def _install(requirements: Path, *, count: int, uv: str | None) -> None:
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if uv:
        command = [uv, "pip", "install", "--python", str(PYTHON), "--compile-bytecode"]
    command += ["--require-hashes", "-r", str(requirements)]
    # Both ask again what the network has lost, but not all of it; what has come is kept.
    if lines := _follow(command, count=count):
        _say("Once more, should it have been the network ...")
        lines = _follow(command, count=count)
    if lines:
        sys.stderr.writelines(lines[-_LAST_LINES:])
        sys.exit(
            f"{requirements.name} could not be installed (the end of what was said is above): "
            "look at the network and the package index, then run make again."
        )


def _follow(command: list[str], *, count: int) -> list[str]:
    """Run an installation and show how far it is; give all it said if it failed."""
    with subprocess.Popen(  # noqa: S603 - our own command, no shell
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as installing:
        lines = []
        seen = 0
        for line in installing.stdout or ():
            lines.append(line)
            package = _AT_PACKAGE.match(line)
            if package:
                seen += 1
                _show_progress(f"{seen} of {count}: {package[1]}", seen)
            elif line.startswith("Installing collected packages"):
                _show_progress("unpacking", 0)
    _end_progress()
    return (lines or [f"{command[0]} said nothing.\n"]) if installing.returncode else []


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own commands, no shell
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _write_launcher() -> None:
    launcher = VENV / "bin" / "tradepost"
    launcher.write_text(_LAUNCHER.format(root=ROOT, python=PYTHON))
    launcher.chmod(0o755)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a script for people


def _show_progress(text: str, number: int) -> None:
    if sys.stdout.isatty():
        print(f"\r\033[K  {text}", end="", flush=True)  # noqa: T201 - a script for people
    elif number % _TOLD_EVERY == 0:
        _say(f"  {text}")


def _end_progress() -> None:
    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)  # noqa: T201 - a script for people


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; run make again to go on.")
