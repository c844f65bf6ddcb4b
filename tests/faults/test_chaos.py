"""Clients and faults of every kind at once for a while, and nothing is lost or done twice."""

from pathlib import Path

import pytest

from tests.faults.chaos.__main__ import report
from tests.faults.chaos.run import run

SEED = 20
SECONDS = 20.0


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_load_meets_faults_and_every_invariant_holds(tmp_path: Path) -> None:
    told: list[str] = []

    result = run(tmp_path, seed=SEED, seconds=SECONDS, say=told.append)

    assert not result.verdict.violations, "\n".join([*told, *report(SEED, result)])
    assert result.accepted
    assert sum(result.faults.values()) >= 20 / 60 * SECONDS
