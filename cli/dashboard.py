"""Build the dashboard where npm is there. Needs only the standard library.

The Makefile runs this: python -m cli.dashboard. It never fails: a run without a dashboard is a run,
and its front page says how to get one.
"""

import re
import shutil
import subprocess
import time

from cli.install import ROOT

OLDEST_NODE = (20, 19)
_WEB = ROOT / "web"
_LAST_LINES = 15


def main() -> None:
    """Build `web/dist`, or say in one sentence why there will be no dashboard."""
    reason = _missing()
    if reason:
        _say(f"No dashboard: {reason} The API runs without it.")
        return
    began = time.monotonic()
    for told, command in (
        ("Installing what the dashboard is built with; this is done once ...", ("ci",)),
        ("Building the dashboard ...", ("run", "build")),
    ):
        _say(told)
        failed = _run_npm(*command)
        if failed:
            _say(f"{failed}\nNo dashboard: `npm {' '.join(command)}` failed in web/.")
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


def _run_npm(*command: str) -> str:
    """Run npm in `web/`; return its last lines if it failed."""
    quiet = ("--no-audit", "--no-fund") if command == ("ci",) else ()
    done = subprocess.run(  # noqa: S603
        ["npm", *command, *quiet],  # noqa: S607
        cwd=_WEB,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return "\n".join(done.stdout.splitlines()[-_LAST_LINES:]) if done.returncode else ""


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
