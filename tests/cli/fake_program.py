"""A small program for the supervisor to run: it notes in a file how it was stopped.

Usage: fake_program.py NAME FOLDER BEHAVIOUR...
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from infra.process import die_with_parent

NAME, FOLDER, *BEHAVIOUR = sys.argv[1:]
HEARTBEAT = Path(FOLDER, "heartbeats", NAME)


def main() -> None:
    signal.signal(signal.SIGTERM, note_stop)
    signal.signal(signal.SIGINT, note_stop)
    sys.stderr.write(f"{NAME} begins\n")
    if "noisy" in BEHAVIOUR:
        sys.stderr.write("a line of a talkative program\n" * 200_000)
    if "fails" in BEHAVIOUR:
        sys.exit("the reason why it fails")
    if "job" in BEHAVIOUR:
        return
    if "parent" in BEHAVIOUR:
        start_child()
    if "child" in BEHAVIOUR:
        die_with_parent()
    HEARTBEAT.touch()
    while True:
        time.sleep(0.05)
        if "hangs" not in BEHAVIOUR:
            HEARTBEAT.touch()


def start_child() -> None:
    command = [sys.executable, __file__, f"{NAME}-child", FOLDER, "child"]
    child = subprocess.Popen(command)
    Path(FOLDER, f"{NAME}-child.pid").write_text(str(child.pid))
    while not HEARTBEAT.with_name(f"{NAME}-child").exists():
        time.sleep(0.01)


def note_stop(number: int, _frame: FrameType | None) -> None:
    with Path(FOLDER, "stopped").open("a") as notes:
        notes.write(f"{NAME} {signal.Signals(number).name}\n")
    if "deaf" not in BEHAVIOUR:
        os._exit(0)


main()
