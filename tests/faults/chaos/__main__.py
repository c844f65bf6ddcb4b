"""`make chaos`: a run that everybody can repeat by its seed.

`python -m tests.faults.chaos --seconds 60 --seed 7` ends with 0 if nothing was violated.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from infra.settings import Settings
from tests.faults.chaos.run import PER_MINUTE, Result, run


def main() -> int:
    """Run, print what happened, and keep logs and data if anything is wrong."""
    options = _parser().parse_args()
    seed = int(options.seed or random.SystemRandom().randrange(10**6))
    for name in Settings.model_fields:  # what a developer's shell says must not reach a process
        os.environ.pop(name.upper(), None)
    os.environ["ENV_FILE"] = ""
    folder = Path(tempfile.mkdtemp(prefix="tradepost-chaos-"))
    result = run(
        folder, seed=seed, seconds=options.seconds, say=_say, per_minute=options.per_minute
    )
    for line in report(seed, result):
        _say(line)
    if result.verdict.violations:
        _say(f"logs and data are left in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def report(seed: int, result: Result) -> list[str]:
    """Tell a run in a few lines."""
    verdict = result.verdict
    faults = ", ".join(f"{name} {count}" for name, count in result.faults.items())
    answers = ", ".join(f"{status} {count}" for status, count in result.answers.items())
    return [
        f"seed       {seed}",
        f"accepted   {result.accepted} of {verdict.orders} orders,"
        f" cancelled {result.cancelled}, changed {result.changed}",
        f"final      {verdict.final}, quiet after {verdict.quiet_after_s:.0f} s",
        f"charges    {verdict.charges}, refunds {verdict.refunds}",
        f"events     {verdict.events}, heard by listeners {result.heard}",
        f"answers    {answers}",
        f"faults     {sum(result.faults.values())}: {faults}",
        *(f"VIOLATION  {text}" for text in verdict.violations),
        f"{len(verdict.violations)} violations",
    ]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.chaos")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--per-minute", type=float, default=PER_MINUTE, help="faults")
    parser.add_argument("--seed", default="", help="the same faults and wishes again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
