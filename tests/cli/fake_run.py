"""Carry out a run of small programs with the real supervisor, in a process of its own.

Usage: fake_run.py FOLDER NAME:STAGE:BEHAVIOUR,...  (a later one needs all earlier ones)
"""

import sys
from pathlib import Path

from cli.app import end_with_sentence
from cli.plan import Place, Plan
from cli.probes import HeartbeatProbe
from cli.runfile import RunFolder
from cli.service import Service, StopStage
from cli.signals import SignalInbox
from cli.up import Run
from infra.settings import Settings

PROGRAM = Path(__file__).with_name("fake_program.py")
ROOT = Path(__file__).resolve().parents[2]
# Short only where a test waits for it: on a busy machine a program takes longer to start.
STALE_S, HANGS_S = 60.0, 1.5


def service(folder: Path, description: str, *, needs: frozenset[str]) -> Service:
    name, stage, behaviour = description.split(":")
    heartbeat = folder / "heartbeats" / name
    stale_s = HANGS_S if behaviour == "hangs" else STALE_S
    heartbeat.parent.mkdir(exist_ok=True)
    return Service(
        name=name,
        command=(sys.executable, str(PROGRAM), name, str(folder), *behaviour.split(",")),
        env={"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        log=folder / "logs" / f"{name}.log",
        probe=None if "job" in behaviour else HeartbeatProbe(heartbeat, stale_s=stale_s),
        needs=needs,
        stop_stage=StopStage[stage],
    )


def main() -> None:
    folder = Path(sys.argv[1])
    services: list[Service] = []
    for description in sys.argv[2:]:
        earlier = frozenset(service.name for service in services)
        services.append(service(folder, description, needs=earlier))
    places = [Place(s.name, f"http://{s.name}.example", s.name) for s in services]
    unused = [Place("api", "http://127.0.0.1:1"), Place("flower", "http://127.0.0.1:2")]
    plan = Plan(
        settings=Settings(data_dir=folder),
        services=tuple(services),
        places=(*unused, *places),
        flower_password_made=True,
    )
    with end_with_sentence(), RunFolder(folder) as held, SignalInbox() as inbox:
        Run(plan, held, inbox, verbose=False).carry_out()


main()
