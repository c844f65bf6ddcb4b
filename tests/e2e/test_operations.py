"""What `make run` starts, as an operator sees it: metrics and alerts, one request's way, Flower."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import yaml

from infra.outbox import Event
from shop.payments import Payment
from tests.docs.pages import anchors, blocks
from tests.e2e.conftest import StartRun
from tests.support.forks import Forks
from tests.support.processes import PYTHON, ROOT, clean_environment, eventually
from tests.support.run import FLOWER_LOGIN, WholeRun
from tests.workers.test_worker import message
from workers.queues import NAMES

ALERTS = ROOT / "docs/alerts.yml"
NEXT_LOGIN = ("admin", "the-password-that-takes-over")
Tradepost = Callable[[str], "subprocess.CompletedProcess[str]"]
PRODUCTS = 20
REQUEST_ID = "traced-from-here-to-there"


@pytest.fixture(scope="module")
def run(start_run: StartRun) -> WholeRun:
    run = start_run(
        FULFILMENT_DELAY_S="0",
        LOG_FORMAT="json",
        FLOWER_UNAUTHENTICATED_API="true",
        FLOWER_BASIC_AUTH=",".join(map(":".join, (FLOWER_LOGIN, NEXT_LOGIN))),
    )
    eventually(lambda: run.get("/products/"), what="the first sync")
    return run


@pytest.fixture(scope="module")
def scraped(run: WholeRun) -> str:
    """Scrape once workers have told that they are there, and every task has run.

    Canaries among them, of which beat's first would come after 15 s.
    """
    with run.redis() as broker:
        for queue in NAMES:
            broker.lpush(queue, message(f"canary.{queue}", b"[[], {}, {}]", queue=queue))

    def complete() -> str | None:
        with run.http() as http:
            text = http.get("/metrics").text
        canaries = re.findall(r'task_runs_total\{outcome="done",task="canary\.(\w+)"\}', text)
        consumed = re.findall(r"tradepost_queue_consumers\{.*\} 1\.0", text)
        synced = 'task_runs_total{outcome="done",task="products.sync"}' in text
        told = re.search(r'tradepost_stream_length\{topic="products"\} (\d+)', text)
        is_all = synced and told is not None and int(told[1]) >= PRODUCTS
        return text if is_all and len(canaries) == len(consumed) == len(NAMES) else None

    text = eventually(complete, interval_s=0.5)
    assert text is not None
    return text


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def log_lines(run: WholeRun, name: str) -> list[dict[str, Any]]:
    text = (run.folder / "logs" / f"{name}.log").read_text()
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_every_figure_that_an_alert_looks_at_is_there(scraped: str) -> None:
    # A counter has no value before it counts, but its family is told.
    given = set(re.findall(r"^(?:# TYPE )?(tradepost_\w+)", scraped, re.MULTILINE))

    asked = {name for rule in rules() for name in re.findall(r"tradepost_\w+", rule["expr"])}

    assert {name for name in asked if name not in given} == set()
    assert len(rules()) >= 10


def test_every_alert_leads_to_its_place_in_the_runbook() -> None:
    places = set(anchors(ROOT / "docs/runbook.md"))

    for rule in rules():
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/runbook.md"
        assert anchor in places, rule["alert"]


def test_metrics_tell_of_workers_queues_streams_and_the_pool(scraped: str) -> None:
    figures = dict(re.findall(r"^(tradepost_\S+) (\S+)$", scraped, re.MULTILINE))

    assert float(figures['tradepost_queue_consumers{queue="payments"}']) == 1
    assert float(figures['tradepost_queue_consumers{queue="market"}']) == 1
    assert float(figures['tradepost_stream_length{topic="products"}']) >= PRODUCTS
    assert float(figures['tradepost_canary_age_seconds{queue="events"}']) < 45
    assert float(figures["tradepost_database_pool_size"]) > 0
    assert 'tradepost_finnhub_calls_left{lane="interactive"}' in figures
    assert 'tradepost_task_duration_seconds_bucket{le="+Inf",task="products.sync"}' in figures


def test_one_request_is_found_in_log_row_worker_and_event(run: WholeRun) -> None:
    with run.http("api", **{"X-Request-ID": REQUEST_ID}) as http:
        placed = http.post("/orders/", json={"id": 1, "quantity": 1}).json()
    run.wait_for(placed["id"], "completed")
    database = run.database()

    with database.reads() as session:
        row = session.scalar(sa.select(Payment.request_id).where(Payment.order_id == placed["id"]))
        events = session.execute(
            sa.select(Event.type, Event.request_id).where(
                Event.subject.in_([f"orders/{placed['id']}", f"payments/{placed['id']}"])
            )
        ).all()
    database.engine.dispose()
    # Who has answered or committed says so after it.
    answered = eventually(
        lambda: [line for line in log_lines(run, "api") if line.get("request_id") == REQUEST_ID]
    )
    worked = eventually(
        lambda: [
            line
            for line in log_lines(run, "worker-payments")
            if REQUEST_ID in line.get("requests", ())
        ]
    )
    assert row == REQUEST_ID
    assert {event.type for event in events} >= {"order.placed", "order.paid", "order.completed"}
    assert {event.request_id for event in events} == {REQUEST_ID}
    assert [(line["method"], line["path"]) for line in answered] == [("POST", "/orders/")]
    assert [line["event"] for line in worked] == ["payments_answered"]


def test_flower_answers_nobody_without_its_password(run: WholeRun) -> None:
    with run.http("flower") as http:
        pages = ["/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks"]
        refused = {page: http.get(page).status_code for page in pages}
        forbidden = http.post("/api/task/send-task/payments.settle", json={"args": []})
        wrong = http.get("/", auth=(FLOWER_LOGIN[0], "guess"))
        known = [http.get("/api/workers", auth=login) for login in (FLOWER_LOGIN, NEXT_LOGIN)]

    assert set(refused.values()) == {401}
    assert forbidden.status_code == 401
    assert wrong.status_code == 401
    assert [answer.status_code for answer in known] == [httpx.codes.OK] * 2


def test_flower_keeps_what_it_saw(run: WholeRun) -> None:
    flower = Path(f"/proc/{run.pid('flower')}/cmdline").read_text().split("\0")

    assert {"--persistent=True", "--max_tasks=10000", "--address=127.0.0.1"} <= set(flower)
    assert not any(FLOWER_LOGIN[1] in argument for argument in flower)


@pytest.fixture
def tradepost(run: WholeRun, forks: Forks) -> Tradepost:
    """Call a command as somebody does on the machine of the run."""

    def call(command: str) -> "subprocess.CompletedProcess[str]":
        words = shlex.split(command, comments=True)[1:]
        return forks.run("cli", *words, env={"DATA_DIR": str(run.folder)})

    return call


def test_commands_of_the_runbook_do_what_it_says(
    run: WholeRun, scraped: str, tradepost: Tradepost
) -> None:
    commands = [
        line.removeprefix(".venv/bin/")
        for block in blocks(ROOT / "docs/runbook.md", "sh")
        for line in block.splitlines()
        if line.startswith((".venv/bin/tradepost queues", ".venv/bin/tradepost tasks"))
    ]

    ended = [(command, tradepost(command)) for command in commands]

    assert [(command, said) for command, said in ended if said.returncode != 0] == []
    assert len(commands) >= 8
    shown = {queue["name"]: queue for queue in run.get("/queues")}
    assert shown["market"]["paused"] is None


def test_every_list_is_one_json_document(scraped: str, tradepost: Tradepost) -> None:
    def shown(command: str) -> Any:
        return json.loads(tradepost(f"tradepost {command} --json").stdout)

    sync = shown("products sync --dry-run")
    newest, *_ = shown("tasks list --name products.sync")
    eventually(lambda: shown(f"tasks show {newest['id']}")["state"] == "done", interval_s=0.5)
    refused = tradepost(f"tradepost tasks retry {newest['id']}")

    assert (sync["status"], sync["dry_run"]) == ("done", True)
    assert sync["progress"]["done"] == sync["progress"]["total"] == 20
    assert newest["arguments"] == {"sync_id": sync["id"], "dry_run": True}
    assert {queue["name"] for queue in shown("queues list")} == set(NAMES)
    rung = {entry["task"] for entry in shown("queues schedule")}
    assert rung >= {"payments.settle", "canary.events"}
    assert {finding["about"] for finding in shown("doctor")["findings"]} >= {
        "Python", "Modules", "The database", "The database's clock", "Tables", "The broker", "Disk",
        "Queue payments", "Failed tasks",
    }  # fmt: skip
    assert (refused.returncode, refused.stderr.partition(" is ")[0]) == (1, f"Task {newest['id']}")


def test_killed_worker_is_missed_and_back(run: WholeRun) -> None:
    before = run.pid("worker-market")

    os.kill(before, signal.SIGKILL)

    def is_back() -> bool:
        return run.services["worker-market"].get("pid", before) != before and run.is_ready

    def consumers() -> list[str]:
        return next(q["consumers"] for q in run.get("/queues") if q["name"] == "market") or []

    eventually(is_back)
    eventually(lambda: any(name.startswith("worker-market@") for name in consumers()))


@pytest.mark.proof
@pytest.mark.timeout(300)
def test_worker_that_consumes_nothing_is_noticed_and_started_again(run: WholeRun) -> None:
    before = run.pid("worker-market")
    forget = "from workers.app import app; app.control.cancel_consumer('market')"
    broker = {"BROKER_URL": run.url("redis")}
    began = time.monotonic()
    subprocess.run(
        [PYTHON, "-c", forget], cwd=ROOT, env=clean_environment(broker), check=True, timeout=60
    )

    eventually(lambda: run.services["worker-market"].get("pid", before) != before, timeout_s=75)

    assert time.monotonic() - began < 60
    assert "worker_consumes_nothing" in (run.folder / "logs/worker-market.log").read_text()
    eventually(lambda: run.get("/readyz")["degraded"] == [], timeout_s=60)
