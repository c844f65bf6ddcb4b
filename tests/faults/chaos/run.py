"""One bounded run: load and faults side by side, then the verdict."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from accounts.tables import Role
from tests.faults.chaos import plant as plants
from tests.faults.chaos import referee
from tests.faults.chaos.journal import Journal
from tests.faults.chaos.listeners import Listener
from tests.faults.chaos.mischief import Mischief
from tests.faults.chaos.people import sign_in
from tests.faults.chaos.plant import SECRET_KEY, Plant
from tests.faults.chaos.referee import Verdict
from tests.faults.chaos.shoppers import Shopper, put_on_sale

SHOPPERS = 6
LISTENERS = 2
PER_MINUTE = 30.0
_PROGRESS_EVERY_S = 5.0
_TICK_S = 0.05

Say = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """What came of a run."""

    accepted: int
    cancelled: int
    changed: int
    heard: int
    faults: dict[str, int]
    answers: dict[str, int]
    verdict: Verdict


def run(
    folder: Path, *, seed: int, seconds: float, say: Say, per_minute: float = PER_MINUTE
) -> Result:
    """Let clients and faults meet for so long, on servers whose data stand in `folder`."""
    say(f"seed {seed}, {seconds:g} s, logs in {folder / 'logs'}")
    with plants.started(folder, random.Random(f"{seed} plant")) as plant:
        plant.wait_until_ready()
        journal = Journal()
        mischief = Mischief(plant, random.Random(f"{seed} mischief"), per_minute=per_minute)
        listeners = [Listener(plant.api_url, plant.operator) for _ in range(LISTENERS)]
        for listener in listeners:
            threading.Thread(target=listener.listen, daemon=True).start()
        _hurt_while_they_shop(plant, journal, mischief, seed=seed, seconds=seconds, say=say)
        say("waiting until all is quiet")
        verdict = referee.judge(plant, journal, listeners)
        for listener in listeners:
            listener.end()
    return Result(
        accepted=len(journal.accepted),
        cancelled=len(journal.cancelled),
        changed=len(journal.changed),
        faults=dict(sorted(mischief.done.items())),
        heard=sum(listener.seen.total() for listener in listeners),
        answers=dict(sorted(journal.statuses.items())),
        verdict=verdict,
    )


def _hurt_while_they_shop(
    plant: Plant, journal: Journal, mischief: Mischief, *, seed: int, seconds: float, say: Say
) -> None:
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=shopper.live, args=[until], daemon=True)
        for shopper in _shoppers(plant, journal, seed)
    ]
    for thread in threads:
        thread.start()
    next_at, tell_at = time.monotonic() + mischief.wait_s(), time.monotonic()
    while (now := time.monotonic()) < until:
        if now >= next_at:
            mischief.strike(until - now)
            next_at += mischief.wait_s()
        if now >= tell_at:
            say(_progress(until - now, journal, mischief))
            tell_at = now + _PROGRESS_EVERY_S
        plant.tend()
        time.sleep(_TICK_S)
    plant.heal()
    for thread in threads:
        thread.join()


def _shoppers(plant: Plant, journal: Journal, seed: int) -> list[Shopper]:
    shelf = put_on_sale(plant.database)
    return [
        Shopper(
            plant.api_url,
            sign_in(plant.database, f"buyer-{n}", Role.USER, SECRET_KEY),
            plant.operator,
            shelf,
            journal,
            random.Random(f"{seed} shopper {n}"),
        )
        for n in range(SHOPPERS)
    ]


def _progress(left_s: float, journal: Journal, mischief: Mischief) -> str:
    answers = " ".join(f"{status}:{count}" for status, count in sorted(journal.statuses.items()))
    faults = mischief.done.total()
    return (
        f"{left_s:5.0f} s left  accepted {len(journal.accepted):6}  faults {faults:4}"
        f"  (last: {mischief.last})  answers {answers}"
    )
