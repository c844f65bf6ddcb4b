"""The history of tasks over HTTP: found, filtered, paged, tried again once, and by whom."""

from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import audit
from infra.db import transact
from infra.jobs import tasks
from infra.jobs.tasks import Outcome, TaskState
from shop.sync import SyncRun
from tests.api.shopfront import Shopfront, Visitor, messages, problem_of
from tests.support.valkey import Valkey

pytest_plugins = ("tests.api.shop_fixtures",)


def write(front: Shopfront, state: TaskState, name: str = "products.sync", **told: Any) -> int:
    named = {"task_id": f"{name}-{state}", "run": f"{name}-{state}", "name": name, "n": 1}
    outcome = Outcome(**{**named, "queue": name.partition(".")[0], **told}, state=state)

    def add(session: Session) -> int:
        tasks.record(session, outcome)
        return int(session.scalars(sa.select(sa.func.max(tasks.TaskRun.id))).one() or 0)

    return transact(front.database.sessions, add)


@pytest.fixture
def history(front: Shopfront) -> dict[str, int]:
    sync: dict[str, Any] = {"arguments": {"sync_id": 1, "dry_run": False}}
    return {
        "done": write(front, TaskState.DONE, **sync),
        "failed": write(front, TaskState.FAILED, error="The feed is down.", **sync),
        "bell": write(front, TaskState.FAILED, "orders.expire", queue="payments", n=0),
    }


def test_tasks_are_listed_newest_first_filtered_and_paged(
    operator: Visitor, history: dict[str, int]
) -> None:
    everything = operator.http.get("/tasks").json()
    failed = operator.http.get("/tasks?state=failed&name=products.sync").json()
    first = operator.http.get("/tasks?limit=2")
    rest = operator.http.get(first.links["next"]["url"]).json()

    assert [row["id"] for row in everything] == sorted(history.values(), reverse=True)
    assert [row["id"] for row in failed] == [history["failed"]]
    assert failed[0]["error"] == "The feed is down."
    assert failed[0]["arguments"] == {"sync_id": 1, "dry_run": False}
    assert [row["id"] for row in [*first.json(), *rest]] == [row["id"] for row in everything]
    assert operator.http.get("/tasks?since=2999-01-01T00:00:00Z").json() == []
    for never in ("noon", "1763800000", "-3.4e-302"):
        refused = operator.http.get("/tasks", params={"since": never})
        assert problem_of(refused) == (422, "invalid")


def test_retry_asks_anew_once_and_is_written_down(
    front: Shopfront, operator: Visitor, history: dict[str, int]
) -> None:
    path = f"/tasks/{history['failed']}/retry"

    answers = [operator.http.post(path), operator.http.post(path)]

    assert [(got.status_code, got.json()["state"]) for got in answers] == [(202, "retried")] * 2
    with front.database.reads() as session:
        requested = session.scalars(sa.select(SyncRun)).all()
        done = [
            (entry.user_id, entry.action, entry.subject)
            for entry in audit.list_entries(session, below=None, limit=9)
        ]
    assert [run.request_id for run in requested] == [answers[0].headers["x-request-id"]]
    assert done == [(operator.id, "POST /tasks/{run_id}/retry", path.strip("/"))]


def test_retry_of_a_bell_sends_a_message_that_names_the_task(
    operator: Visitor, history: dict[str, int], valkey: Valkey
) -> None:
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(operator.http.post(f"/tasks/{history['bell']}/retry"))

    ask()
    count = messages(valkey, "payments", again=ask)

    with valkey.client() as broker:
        newest, *_ = broker.lrange("payments", 0, -1)
    assert (answers[-1].status_code, count) == (202, 1)
    assert f'"retry_of": {history["bell"]}' in newest
    assert f'"request_id": "{answers[-1].headers["x-request-id"]}"' in newest


def test_only_what_failed_can_be_tried_again(operator: Visitor, history: dict[str, int]) -> None:
    done = operator.http.post(f"/tasks/{history['done']}/retry")
    unknown = operator.http.post("/tasks/999999999/retry")

    assert problem_of(done) == (409, "task_not_failed")
    assert problem_of(unknown) == (404, "task_not_found")
