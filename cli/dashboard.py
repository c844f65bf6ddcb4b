"""Build the dashboard where npm is there. Needs only the standard library.

The Makefile runs this: python -m cli.dashboard. It never fails: a run without a dashboard is a run,
and its front page says how to get one.
"""

import re
import shutil
import subprocess
import sys
import time

from cli.install import ROOT

OLDEST_NODE = (20, 19)
_WEB = ROOT / "web"
_STAMP = _WEB / "node_modules" / ".installed"
_LAST_LINES = 15


def main() -> None:
    """Build `web/dist`, or say in one sentence why there will be no dashboard."""
    reason = _missing()
    if reason:
        _say(f"No dashboard: {reason} The API runs without it.")
        return
    began = time.monotonic()
    if not _is_installed():
        _say("Installing what the dashboard is built with; this is done once ...")
        if not _run_npm("ci", "--no-audit", "--no-fund", "--fetch-retries=5"):
            return
        _STAMP.touch()
    _say("Building the dashboard ...")
    if not _run_npm("run", "build"):
        return
    _say(f"Built the dashboard in {time.monotonic() - began:.0f} s.")


def _missing() -> str:
    wanted = "Node.js {}.{} or newer".format(*OLDEST_NODE)
    if not shutil.which("npm") or not shutil.which("node"):
        return f"it is built with {wanted} and its npm, and there is none here."
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)  # noqa: S607
    found = re.match(r"v(\d+)\.(\d+)", told.stdout)
    if not found or (int(found[1]), int(found[2])) < OLDEST_NODE:
        return f"it is built with {wanted}, and here is {told.stdout.strip() or 'another'}."
    return ""


def _is_installed() -> bool:
    """Tell whether `npm ci` has run since the packages were last pinned."""
    pins = _WEB / "package-lock.json"
    return _STAMP.exists() and _STAMP.stat().st_mtime >= pins.stat().st_mtime


def _run_npm(*command: str) -> bool:
    """Run npm in `web/`; show its last lines if it failed."""
    done = subprocess.run(  # noqa: S603
        ["npm", *command],  # noqa: S607
        cwd=_WEB,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        _say("\n".join(done.stdout.splitlines()[-_LAST_LINES:]))
        _say(f"No dashboard: `npm {' '.join(command)}` failed in web/. The API runs without it.")
    return done.returncode == 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; run make again to go on.")
