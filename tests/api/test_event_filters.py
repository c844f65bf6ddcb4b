"""GET /events for a part of what there is, for browsers, and for no more than may be open."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from accounts import users
from accounts.tables import Role
from accounts.users import Changes
from infra.db import transact
from tests.api.conftest import Person, Starter, register
from tests.api.event_stage import People, Stage
from tests.support.outbox import change, record
from tests.support.processes import eventually
from tests.support.sse import EventStream, Received
from tests.support.valkey import Valkey

pytest_plugins = ("tests.api.event_fixtures",)

CAPPED_DB = 9
PAID = "order.paid"


@pytest.fixture(scope="module")
def capped_stage(api_of: Starter, valkey_server: Valkey) -> Iterator[Stage]:
    """An API that serves five streams, two of them to one caller."""
    valkey_server.revive()
    made = Stage(
        api_of, valkey_server.url(CAPPED_DB), EVENT_STREAMS="5", EVENT_STREAMS_PER_CALLER="2"
    )
    yield made
    made.close()


def entries(events: list[Received]) -> list[str]:
    return [event.data["id"] for event in events if "specversion" in event.data]


def test_only_wanted_types_and_subjects_are_shown(stage: Stage, people: People) -> None:
    types, subject = f"{PAID}, order.refunded", "things/of-this-test"
    with stage.stream("orders", person=people.operator, types=types, subject=subject) as stream:
        stream.take(1)
        stage.tell("orders", type=PAID)
        record(stage.database, change("things/of-this-test"))
        record(stage.database, change("things/of-this-test", 2, type=PAID))
        stage.publish()
        (event,) = stream.take(1)

    assert (event.type, event.data["subject"]) == (PAID, "things/of-this-test")


@pytest.mark.parametrize(
    ("query", "code"), [("types=order.pain", "unknown_type"), ("types=", "unknown_type")]
)
def test_type_that_cannot_come_is_refused(stage: Stage, query: str, code: str) -> None:
    with stage.api.client() as client:
        answer = client.get(f"/events?{query}")

    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_client_cut_off_at_random_gets_every_entry_that_passes_its_filter_once(
    stage: Stage, people: People
) -> None:
    dice = random.Random(11)
    topics, person = "orders,payments", people.operator
    with stage.stream(topics, person=person, types=PAID) as stream:
        stream.take(1)
        cursor = stream.last_id
    kinds = [dice.choice([PAID, "order.placed", "payment.succeeded"]) for _ in range(100)]
    writer = threading.Thread(target=tell_all, args=(stage, kinds))
    writer.start()

    seen: list[Received] = []
    for _ in range(15):
        with stage.stream(topics, person=person, types=PAID, last_event_id=cursor) as stream:
            seen += stream.events(most_lines=dice.randint(5, 12))
            cursor = stream.last_id
    writer.join()
    with stage.stream(topics, person=person, types=PAID, last_event_id=cursor) as stream:
        seen += stream.take(1 + kinds.count(PAID) - len(entries(seen)))

    assert len(set(entries(seen))) == len(entries(seen)) == kinds.count(PAID)


def tell_all(stage: Stage, kinds: list[str]) -> None:
    for kind in kinds:
        stage.tell("payments" if kind.startswith("payment") else "orders", type=kind)


def test_cursor_may_come_in_the_address_for_want_of_a_header(stage: Stage) -> None:
    with stage.stream("products") as stream:
        (ready,) = stream.take(1)
    stage.tell("products", marker="missed")

    with stage.stream("products", cursor=ready.id) as again:
        events = again.take(2)

    assert events[1].data["data"]["marker"] == "missed"


def ticket_for(stage: Stage, person: Person) -> str:
    with stage.api.client(person.token) as client:
        answer = client.post("/events/tickets")
    assert answer.status_code == httpx.codes.CREATED
    assert answer.json()["expires_in"] == 30
    assert answer.headers["cache-control"] == "no-store"
    ticket: str = answer.json()["ticket"]
    return ticket


def test_ticket_opens_one_stream_as_its_holder(stage: Stage, people: People) -> None:
    ticket = ticket_for(stage, people.customer)

    with stage.stream("orders", ticket=ticket) as stream:
        stream.take(1)
        stage.tell("orders", user_id=people.other.id, marker="another's")
        stage.tell("orders", user_id=people.customer.id, marker="own")
        (event,) = stream.take(1)
    with stage.stream("orders", ticket=ticket) as again:
        problem = again.body()

    assert event.data["data"]["marker"] == "own"
    assert (again.status, problem["code"]) == (401, "ticket_invalid")
    assert ticket not in stage.api.log()


def sign_out(stage: Stage, person: Person) -> None:
    with stage.api.client(person.token) as client:
        client.post("/auth/logout")


def demote(stage: Stage, person: Person) -> None:
    demoted = Changes(role=Role.USER)
    transact(
        stage.database.sessions, lambda session: users.update(session, person.id, changes=demoted)
    )


@pytest.mark.parametrize("lose_rights", [sign_out, demote])
def test_stream_ends_soon_after_its_caller_has_lost_what_he_was_let_in_with(
    stage: Stage, people: People, lose_rights: Callable[[Stage, Person], None]
) -> None:
    person = register(stage.api, Role.OPERATOR)
    with (
        stage.stream("orders", person=person) as stream,
        stage.stream("orders", person=people.operator) as anothers,
        stage.stream("products") as strangers,
    ):
        for one in (stream, anothers, strangers):
            one.take(1)

        lose_rights(stage, person)

        assert list(stream.events()) == []
        stage.tell("orders")
        stage.tell("products")
        assert [len(one.take(1)) for one in (anothers, strangers)] == [1, 1]


def test_ticket_of_one_who_has_signed_out_opens_nothing(stage: Stage) -> None:
    person = register(stage.api)
    ticket = ticket_for(stage, person)
    with stage.api.client(person.token) as client:
        client.post("/auth/logout")

    with stage.stream("orders", ticket=ticket) as stream:
        assert stream.status == httpx.codes.UNAUTHORIZED


@pytest.mark.parametrize("ticket", ["", "x" * 43, "\u2603"])
def test_made_up_ticket_opens_nothing(stage: Stage, ticket: str) -> None:
    with stage.stream("products", ticket=ticket) as stream:
        assert (stream.status, stream.body()["code"]) == (401, "ticket_invalid")


def open_streams(stack: ExitStack, stage: Stage, people: list[Person]) -> list[EventStream]:
    return [stack.enter_context(stage.stream("products", person=person)) for person in people]


def test_nobody_has_more_streams_open_than_one_may(capped_stage: Stage) -> None:
    person = register(capped_stage.api)

    expect_opened(capped_stage, [person] * 3, ([200, 200, 429], "too_many_own_streams"))


def test_process_serves_no_more_streams_than_set_and_again_when_one_ends(
    capped_stage: Stage,
) -> None:
    people = [register(capped_stage.api, Role.OPERATOR) for _ in range(6)]

    for _ in range(2):
        expect_opened(capped_stage, people, ([200] * 5 + [503], "too_many_streams"))


def expect_opened(stage: Stage, people: list[Person], expected: tuple[list[int], str]) -> None:
    """Open a stream for each, and again until the places of the time before have become free.

    A server hears a little later that a client has gone; who asks at once keeps places taken.
    """
    eventually(lambda: opened(stage, people) == expected, what=str(expected), interval_s=0.3)


def opened(stage: Stage, people: list[Person]) -> tuple[list[int], str]:
    """Open a stream for each, and tell how all were answered, and the last one's problem."""
    with ExitStack() as stack:
        streams = open_streams(stack, stage, people)
        refused = streams[-1]
        if refused.status == httpx.codes.OK:
            return [stream.status for stream in streams], ""
        assert int(refused.headers["retry-after"]) > 0
        return [stream.status for stream in streams], refused.body()["code"]
