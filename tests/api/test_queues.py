"""The queues over HTTP: what waits and is due, who consumes it, and who has paused what."""

from accounts import audit
from infra.redis import connect
from infra.sharing.signs import CANARIES, SCHEDULE, WORKERS, Signs
from tests.api.shopfront import Shopfront, Visitor, messages, problem_of
from tests.support.valkey import Valkey
from workers.queues import NAMES

pytest_plugins = ("tests.api.shop_fixtures",)


def by_name(operator: Visitor) -> dict[str, dict[str, object]]:
    return {queue["name"]: queue for queue in operator.http.get("/queues").json()}


def test_queue_shows_what_waits_who_consumes_it_and_what_is_due(
    front: Shopfront, operator: Visitor, customer: Visitor, valkey: Valkey
) -> None:
    product = front.sell()
    customer.http.post("/orders/", json={"id": product, "quantity": 1})
    messages(valkey, "payments", again=lambda: customer.http.post("/payments/start"))
    client = connect(valkey.url())
    Signs(client, CANARIES).leave("payments", worker="one@here")
    Signs(client, WORKERS).leave("one@here", queues=["payments", "events"])

    shown = by_name(operator)

    payments = shown["payments"]
    assert tuple(shown) == NAMES
    assert payments["depth"] == 1
    assert 0 <= payments["oldest_message_age_s"] < 60  # type: ignore[operator]
    assert payments["consumers"] == ["one@here"]
    assert payments["canary"] | {"at": "", "age_s": 0} == {  # type: ignore[operator]
        "at": "", "age_s": 0, "worker": "one@here", "stale": False
    }  # fmt: skip
    due = {item["task"]: item["rows"] for queue in shown.values() for item in queue["due"]}  # type: ignore[attr-defined]
    assert (due["payments.settle"], due["orders.fulfil"]) == (1, 0)
    assert due["events.publish"] >= 1
    assert shown["market"]["consumers"] == []


def test_queue_is_paused_and_resumed_with_reason_and_name(
    front: Shopfront, operator: Visitor
) -> None:
    paused = operator.http.post("/queues/payments/pause", json={"reason": "The gateway moves."})
    passing = operator.http.post("/queues/payments/canary")
    resumed = operator.http.post("/queues/payments/resume")
    refused = operator.http.post("/queues/payments/canary")

    shown = paused.json()["paused"]
    assert (shown["reason"], shown["by"], shown["passes"]) == ("The gateway moves.", operator.id, 0)
    assert passing.json()["paused"]["passes"] == 1
    assert resumed.json()["paused"] is None
    assert problem_of(refused) == (409, "queue_not_paused")
    with front.database.reads() as session:
        done = [
            (entry.user_id, entry.action, entry.subject)
            for entry in audit.list_entries(session, below=None, limit=9)
        ]
    assert done[::-1] == [
        (operator.id, "POST /queues/{name}/pause", "queues/payments/pause"),
        (operator.id, "POST /queues/{name}/canary", "queues/payments/canary"),
        (operator.id, "POST /queues/{name}/resume", "queues/payments/resume"),
    ]


def test_queue_that_does_not_exist_cannot_be_paused(operator: Visitor) -> None:
    refused = operator.http.post("/queues/paymets/pause", json={"reason": "typo"})

    assert problem_of(refused) == (404, "queue_not_found")


def test_schedule_shows_the_last_and_the_next_run(operator: Visitor, valkey: Valkey) -> None:
    Signs(connect(valkey.url()), SCHEDULE).leave("settle due payments", task="payments.settle")

    shown = {entry["name"]: entry for entry in operator.http.get("/schedule").json()}

    settle = shown["settle due payments"]
    assert (settle["task"], settle["every_s"]) == ("payments.settle", 1.0)
    assert settle["last_run_at"] < settle["next_run_at"]
    assert shown["run requested syncs"]["last_run_at"] is None


def test_queues_are_shown_while_redis_is_away(
    operator: Visitor, customer: Visitor, fragile_valkey: Valkey
) -> None:
    fragile_valkey.kill()

    shown = by_name(operator)

    assert shown["payments"]["depth"] is None
    assert shown["payments"]["due"]
