"""`tradepost payments reconcile` compares at once and tells by its exit code."""

import json
import subprocess

from shop.gateways.protocol import ChargeRequest, Succeeded
from shop.gateways.sandbox import SandboxGateway
from tests.support.processes import PYTHON, ROOT, clean_environment
from tests.support.sandbox import Sandbox


def test_reconcile_ends_with_one_when_the_books_differ(sqlite_url: str, sandbox: Sandbox) -> None:
    env = {"DATABASE_URL": sqlite_url, "ENV_FILE": "", **sandbox.env()}

    agreeing = _reconcile(env)
    stray = SandboxGateway(sandbox.gateway_url).charge(
        ChargeRequest("stray:1", "nobody", 700, "USD", "tok_visa")
    )
    differing = _reconcile(env)

    assert isinstance(stray, Succeeded)
    assert (agreeing.returncode, json.loads(agreeing.stdout)["agrees"]) == (0, True)
    (finding,) = json.loads(differing.stdout)["findings"]
    assert (differing.returncode, finding["kind"]) == (1, "orphan_at_gateway")
    assert (finding["gateway_id"], finding["theirs"]) == (stray.id, 7.0)


def test_a_day_that_is_none_is_a_sentence(sqlite_url: str) -> None:
    answer = _reconcile({"DATABASE_URL": sqlite_url, "ENV_FILE": ""}, "--day", "yesterday")

    assert answer.returncode == 1
    assert answer.stderr.splitlines() == ["yesterday is no day: write it as 2026-01-31."]


def _reconcile(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PYTHON, "-m", "cli", "payments", "reconcile", "--json", *arguments],
        cwd=ROOT,
        env=clean_environment(env),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
