"""GET /events over a real server: nothing lost, nothing twice, nobody sees too much."""

import random
import signal
import socket
import threading
from contextlib import ExitStack

import pytest

from market.events import TOPICS as MARKET_TOPICS
from tests.api.event_stage import People, Stage
from tests.support.outbox import prune, restore_older
from tests.support.processes import eventually
from tests.support.sse import EventStream, Received, open_raw
from workers.topics import TOPICS

pytest_plugins = ("tests.api.event_fixtures",)

ALL = "orders,payments,products"
# What the server says when it has waited for as long as it was told to.
HAD_TO_BE_CUT = "graceful shutdown exceeded"


def told(events: list[Received]) -> list[int]:
    return [event.data["data"]["n"] for event in events if event.type == "thing.made"]


def test_event_comes_live_with_type_cursor_and_cloud_event(stage: Stage) -> None:
    with stage.stream("products") as stream:
        (ready,) = stream.take(1)
        stage.tell("products", colour="red")
        (event,) = stream.take(1)

    assert (ready.type, ready.data) == ("ready", {"topics": ["products"]})
    assert event.type == "thing.made"
    assert event.id == f"products:{event.data['id']}"
    assert event.data["source"] == "/tradepost/products"
    assert event.data["data"]["colour"] == "red"


def test_stream_is_neither_kept_nor_packed_on_its_way(stage: Stage) -> None:
    asked = {"Accept-Encoding": "gzip, br"}
    with open_raw(stage.api.url, topics="products", headers=asked) as link:
        head = link.recv(4096).decode().lower()

    assert "200 ok" in head
    assert "content-type: text/event-stream" in head
    assert "cache-control: no-store, no-transform" in head
    assert "x-accel-buffering: no" in head
    assert "content-encoding" not in head


def test_new_subscriber_begins_now(stage: Stage) -> None:
    stage.tell("products", 3)

    with stage.stream("products") as stream:
        stream.take(1)
        stage.tell("products", marker="new")
        (event,) = stream.take(1)

    assert event.data["data"]["marker"] == "new"


def test_cursor_of_the_first_line_resumes_exactly(stage: Stage) -> None:
    with stage.stream("products") as stream:
        (ready,) = stream.take(1)
    stage.tell("products", 3, marker="missed")

    with stage.stream("products", last_event_id=ready.id) as again:
        events = again.take(4)

    assert [event.data["data"]["marker"] for event in events[1:]] == ["missed"] * 3


@pytest.mark.parametrize(
    ("writes", "cuts"),
    [
        (200, 20),
        pytest.param(2000, 200, marks=[pytest.mark.proof, pytest.mark.timeout(600)]),
    ],
)
def test_client_cut_off_at_random_misses_nothing_and_sees_nothing_twice(
    stage: Stage, people: People, writes: int, cuts: int
) -> None:
    dice = random.Random(7)
    with stage.stream(ALL, person=people.operator) as stream:
        stream.take(1)
        cursor = stream.last_id
    seen: list[Received] = []
    writer = threading.Thread(target=write_in_turn, args=(stage, writes, dice))
    writer.start()

    for _ in range(cuts):
        with stage.stream(ALL, person=people.operator, last_event_id=cursor) as stream:
            seen += stream.events(most_lines=dice.randint(1, writes // cuts * 4))
            cursor = stream.last_id
    writer.join()
    with stage.stream(ALL, person=people.operator, last_event_id=cursor) as stream:
        seen += stream.take(1 + writes - len(made(seen)))

    assert [event.type for event in seen if event.type not in ("ready", "thing.made")] == []
    assert in_topic_order(seen)
    assert len(made(seen)) == writes


def write_in_turn(stage: Stage, count: int, dice: random.Random) -> None:
    for _ in range(count):
        stage.tell(dice.choice(ALL.split(",")))


def made(events: list[Received]) -> list[Received]:
    return [event for event in events if event.type == "thing.made"]


def in_topic_order(events: list[Received]) -> bool:
    """Tell whether the numbers of each topic go up by one."""
    last: dict[str, int] = {}
    for event in made(events):
        topic, seq = event.data["source"], int(event.data["id"].partition("-")[2])
        if seq != last.get(topic, seq - 1) + 1:
            return False
        last[topic] = seq
    return True


def test_resuming_on_more_topics_than_before_begins_the_new_ones_now(
    stage: Stage, people: People
) -> None:
    with stage.stream("products") as stream:
        (ready,) = stream.take(1)
    stage.tell("products", marker="missed")
    stage.tell("orders", marker="before")

    with stage.stream("products,orders", person=people.operator, last_event_id=ready.id) as again:
        events = again.take(2)

    assert [event.data["data"]["marker"] for event in made(events)] == ["missed"]


@pytest.mark.parametrize(
    "cursor",
    [
        "abc",
        "0",
        "1795311260739-0",
        "products:1-999999",
        "products:9-1",
        "products:0-0",
        "products:1-1\t",
        "products:1-1%0d%0aevent:%20forged",
        "products:01-1",
        "x" * 5000,
    ],
)
def test_unusable_cursor_is_told_as_a_reset_and_the_stream_goes_on(
    stage: Stage, cursor: str
) -> None:
    with stage.stream("products", last_event_id=cursor) as stream:
        ready, reset = stream.take(2)
        stage.tell("products", marker="after")
        (event,) = stream.take(1)

    assert stream.status == 200
    assert (ready.type, reset.type, reset.data["topic"]) == ("ready", "reset", "products")
    assert event.data["data"]["marker"] == "after"


def test_unusable_cursor_resets_every_topic(stage: Stage, people: People) -> None:
    with stage.stream(ALL, person=people.operator, last_event_id="abc") as stream:
        events = stream.take(4)

    assert [event.data.get("topic") for event in events[1:]] == ALL.split(",")


def test_one_lost_topic_does_not_reset_the_others(stage: Stage, people: People) -> None:
    stage.tell("orders")
    stage.tell("payments", marker="kept")

    with stage.stream(
        "orders,payments", person=people.operator, last_event_id="orders:1-999999,payments:1-0"
    ) as stream:
        events = stream.take(3)

    assert [event.type for event in events[:2]] == ["ready", "reset"]
    assert events[1].data["topic"] == "orders"
    assert events[2].data["source"] == "/tradepost/payments"


@pytest.mark.parametrize("cursor", ["products:1-1\r\n event: forged", "products:1-1\rX: y"])
def test_line_break_in_the_cursor_forges_nothing(stage: Stage, cursor: str) -> None:
    with open_raw(stage.api.url, topics="products", headers={"Last-Event-ID": cursor}) as link:
        answer = link.recv(65536).decode()

    assert "forged" not in answer
    assert " 500 " not in answer.splitlines()[0]


def test_pruned_events_are_told_as_a_gap(own_stage: Stage) -> None:
    own_stage.tell("products", 5)
    prune(own_stage.database, "products", up_to=3)

    with own_stage.stream("products", last_event_id="products:1-1") as stream:
        events = stream.take(4)

    assert [event.type for event in events] == ["ready", "gap", "thing.made", "thing.made"]
    assert events[1].data == {"topic": "products", "after": 1, "before": 4}
    assert told(events) == [4, 5]


def test_restored_database_is_told_as_a_reset(own_stage: Stage) -> None:
    own_stage.tell("products", 5)
    with own_stage.stream("products", last_event_id="products:1-5") as stream:
        stream.take(1)
        restore_older(own_stage.database, "products", last_seq=3)
        own_stage.tell("products", marker="new story")
        events = stream.take(2)

    assert events[0].type == "reset"
    assert events[0].data == {"topic": "products", "at": "2-4"}
    assert events[1].data["data"]["marker"] == "new story"


def test_anonymous_sees_products_and_market_only(stage: Stage) -> None:
    with stage.stream() as stream:
        (ready,) = stream.take(1)

    assert set(ready.data["topics"]) == {"products", *MARKET_TOPICS}


@pytest.mark.parametrize("topic", ["orders", "payments", "tasks", "products,orders"])
def test_anonymous_is_asked_to_sign_in_for_the_rest(stage: Stage, topic: str) -> None:
    with stage.stream(topic) as stream:
        problem = stream.body()

    assert (stream.status, problem["code"]) == (401, "token_required")


def test_customer_sees_own_orders_only(stage: Stage, people: People) -> None:
    with stage.stream("orders,payments", person=people.customer) as stream:
        stream.take(1)
        stage.tell("orders", user_id=people.other.id, marker="another's")
        stage.tell("orders", user_id=people.customer.id, marker="own")
        stage.tell("payments", user_id=people.other.id, marker="another's")
        stage.tell("payments", user_id=people.customer.id, marker="own")
        events = stream.take(2)

    assert [event.data["data"]["marker"] for event in events] == ["own", "own"]
    assert {event.data["source"] for event in events} == {
        "/tradepost/orders",
        "/tradepost/payments",
    }


def test_customer_sees_nothing_more_by_resuming(stage: Stage, people: People) -> None:
    with stage.stream("orders", person=people.customer) as stream:
        (ready,) = stream.take(1)
    stage.tell("orders", user_id=people.other.id, marker="another's")
    stage.tell("orders", user_id=people.customer.id, marker="own")

    with stage.stream("orders", person=people.customer, last_event_id=ready.id) as again:
        events = again.take(2)

    assert [event.data["data"]["marker"] for event in made(events)] == ["own"]


def test_customer_may_not_see_tasks(stage: Stage, people: People) -> None:
    with stage.stream("tasks", person=people.customer) as stream:
        problem = stream.body()

    assert (stream.status, problem["code"]) == (403, "topic_forbidden")


def test_operator_sees_everything(stage: Stage, people: People) -> None:
    with stage.stream(person=people.operator) as stream:
        (ready,) = stream.take(1)
        stage.tell("orders", user_id=people.other.id, marker="somebody's")
        (event,) = stream.take(1)

    assert ready.data["topics"] == list(TOPICS)
    assert event.data["data"]["marker"] == "somebody's"


@pytest.mark.parametrize("topics", ["nowhere", "products,nowhere", "", ",", "ORDERS"])
def test_unknown_topic_is_refused_by_name(stage: Stage, topics: str) -> None:
    with stage.stream(topics) as stream:
        problem = stream.body()

    assert (stream.status, problem["code"]) == (422, "unknown_topic")
    assert "There are: orders, payments" in problem["detail"]


def test_bad_token_is_refused(stage: Stage) -> None:
    with EventStream(stage.api.url, topics="products", token="forged") as stream:
        assert stream.status == 401


@pytest.mark.proof
def test_quiet_stream_is_kept_alive_by_a_comment(stage: Stage) -> None:
    with stage.stream("market.news", timeout_s=60) as stream:
        stream.take(1)

        assert stream.comment().startswith(": ping")


@pytest.mark.parametrize("count", [50, pytest.param(500, marks=pytest.mark.proof)])
def test_open_streams_do_not_hold_up_a_stop(own_stage: Stage, count: int) -> None:
    with ExitStack() as stack:
        links = [
            stack.enter_context(open_raw(own_stage.api.url, topics="products"))
            for _ in range(count)
        ]
        wait_for_ready(links)

        own_stage.api.service.child.send(signal.SIGTERM)
        code = own_stage.api.service.child.wait()

        ends = [read_to_the_end(link) for link in links]
    log = own_stage.api.log()
    assert code in (0, -signal.SIGTERM)
    assert HAD_TO_BE_CUT not in log
    assert '"level":"error"' not in log.replace(" ", "")
    assert all(ends)


def test_client_that_never_reads_is_closed_and_the_others_go_on(own_stage: Stage) -> None:
    with ExitStack() as stack:
        deaf = stack.enter_context(open_raw(own_stage.api.url, topics="products", small=True))
        stream = stack.enter_context(own_stage.stream("products"))
        stream.take(1)

        seen = [event for _ in range(30) for event in told_while_read(own_stage, stream, 200)]

        assert told(seen) == list(range(1, 6001))
        eventually(lambda: '"/events"' in own_stage.api.log(), timeout_s=60, interval_s=0.2)
        assert read_to_the_end(deaf)


def told_while_read(stage: Stage, stream: EventStream, count: int) -> list[Received]:
    stage.tell("products", count, size=2000)
    return stream.take(count)


def wait_for_ready(links: list[socket.socket]) -> None:
    for link in links:
        received = b""
        while b"event: ready" not in received:
            chunk = link.recv(65536)
            assert chunk, received
            received += chunk


def read_to_the_end(link: socket.socket) -> bool:
    """Tell whether the server has closed the connection."""
    while link.recv(65536):
        pass
    return True
