"""The gateway: charges once per key, keeps its books, refunds, and fails in its own ways."""

import asyncio
import secrets
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.processes import eventually

if TYPE_CHECKING:
    from tests.sandbox.conftest import Arming, Charging, Stage

CHARGE_FIELDS = {
    "id",
    "reference",
    "amount",
    "currency",
    "status",
    "idempotency_key",
    "created_at",
}


def charges_of(gateway: httpx.Client, reference: object) -> list[dict[str, object]]:
    answer = gateway.get("/v1/charges", params={"reference": str(reference)})
    found: list[dict[str, object]] = answer.json()["data"]
    return found


def refund(gateway: httpx.Client, charge_id: str, amount: int, key: str = "") -> httpx.Response:
    return gateway.post(
        "/v1/refunds",
        json={"charge": charge_id, "amount": amount},
        headers={"idempotency-key": key or secrets.token_hex(8)},
    )


def test_charge_succeeds_and_stands_in_the_ledger(
    gateway: httpx.Client, charge: "Charging"
) -> None:
    answer = charge(key="17:1", reference="17", amount=6000)

    made = answer.json()
    assert answer.status_code == 201
    assert set(made) == CHARGE_FIELDS
    assert made["id"].startswith("ch_")
    assert (made["reference"], made["amount"], made["currency"]) == ("17", 6000, "USD")
    assert (made["status"], made["idempotency_key"]) == ("succeeded", "17:1")
    assert made in gateway.get("/admin/ledger").json()["charges"]


def test_charge_is_found_by_reference_and_id(gateway: httpx.Client, charge: "Charging") -> None:
    made = charge().json()

    assert charges_of(gateway, made["reference"]) == [made]
    assert gateway.get(f"/v1/charges/{made['id']}").json() == made


def test_unknown_charge_is_not_found(gateway: httpx.Client) -> None:
    answer = gateway.get("/v1/charges/ch_nobody")

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "charge_not_found"
    assert charges_of(gateway, "nobody") == []


def test_charges_are_listed_page_by_page(gateway: httpx.Client, charge: "Charging") -> None:
    made = [charge().json()["id"] for _ in range(3)]

    first = gateway.get("/v1/charges", params={"limit": 2, "starting_after": made[0]}).json()
    second = gateway.get("/v1/charges", params={"limit": 1, "starting_after": made[0]}).json()

    assert [it["id"] for it in first["data"]][:2] == made[1:]
    assert (first["has_more"], second["has_more"]) == (False, True)


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "9" * 40, "\u0661"])
def test_impossible_page_size_is_refused(gateway: httpx.Client, limit: str) -> None:
    assert gateway.get("/v1/charges", params={"limit": limit}).status_code == 400


def test_same_key_and_body_answers_the_first_charge(
    gateway: httpx.Client, charge: "Charging"
) -> None:
    first = charge(key="same:1", reference="same")

    second = charge(key="same:1", reference="same")

    assert second.status_code == 200
    assert second.headers["idempotent-replayed"] == "true"
    assert second.json() == first.json()
    assert charges_of(gateway, "same") == [first.json()]


def test_same_key_with_another_body_is_refused(gateway: httpx.Client, charge: "Charging") -> None:
    charge(key="other:1", reference="other", amount=100)

    answer = charge(key="other:1", reference="other", amount=101)

    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "idempotency_key_reused"
    assert len(charges_of(gateway, "other")) == 1


async def test_fifty_identical_requests_at_once_charge_once(stage: "Stage") -> None:
    reference = secrets.token_hex(8)
    body = {"reference": reference, "amount": 100, "currency": "USD"}
    headers = {"authorization": "Bearer test", "idempotency-key": f"{reference}:1"}
    async with httpx.AsyncClient(
        base_url=stage.url("gateway"), headers=headers, trust_env=False, timeout=60
    ) as client:
        answers = await asyncio.gather(*(client.post("/v1/charges", json=body) for _ in range(50)))
        found = (await client.get("/v1/charges", params={"reference": reference})).json()["data"]

    taken = [answer.json()["id"] for answer in answers if answer.is_success]
    refused = {answer.json()["error"]["code"] for answer in answers if answer.is_error}
    assert [it["id"] for it in found] == [taken[0]]
    assert set(taken) == {taken[0]}
    assert refused <= {"key_in_use"}


async def test_key_is_in_use_while_its_charge_is_slow(stage: "Stage") -> None:
    body = {"reference": "slow", "amount": 100, "currency": "USD", "token": "tok_slow"}
    headers = {"authorization": "Bearer test", "idempotency-key": "slow:1"}
    async with httpx.AsyncClient(
        base_url=stage.url("gateway"), headers=headers, trust_env=False, timeout=60
    ) as client:
        answers = await asyncio.gather(*(client.post("/v1/charges", json=body) for _ in range(2)))

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert {answer.json()["error"]["code"] for answer in answers if answer.is_error} == {
        "key_in_use"
    }


async def test_two_hundred_connections_are_served_at_once(stage: "Stage") -> None:
    run = secrets.token_hex(8)
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(
        base_url=stage.url("gateway"),
        headers={"authorization": "Bearer test"},
        trust_env=False,
        limits=limits,
        timeout=60,
    ) as client:
        answers = await asyncio.gather(
            *(
                client.post(
                    "/v1/charges",
                    json={"reference": f"{run}-{n}", "amount": 100 + n, "currency": "USD"},
                    headers={"idempotency-key": f"{run}-{n}:1"},
                )
                for n in range(200)
            )
        )

    assert {answer.status_code for answer in answers} == {201}
    assert sorted(answer.json()["amount"] for answer in answers) == list(range(100, 300))


@pytest.mark.parametrize(
    ("token", "decline_code"),
    [
        ("tok_declined", "generic_decline"),
        ("tok_insufficient_funds", "insufficient_funds"),
        ("tok_expired", "expired_card"),
        ("tok_nobody_issued", "unknown_token"),
    ],
)
def test_declined_card_is_no_charge_and_stays_declined(
    gateway: httpx.Client, charge: "Charging", token: str, decline_code: str
) -> None:
    first = charge(key=f"{token}:1", reference=token, token=token)

    again = charge(key=f"{token}:1", reference=token, token=token)

    assert (first.status_code, again.status_code) == (402, 402)
    assert first.json()["error"]["code"] == "card_declined"
    assert first.json()["error"]["decline_code"] == decline_code
    assert again.json() == first.json()
    assert charges_of(gateway, token) == []


def test_decline_fault_strikes_the_order_it_names(
    gateway: httpx.Client, charge: "Charging", arm: "Arming"
) -> None:
    arm(gateway, "decline", match={"reference": "unlucky"})

    answers = [charge(reference=reference).status_code for reference in ("unlucky", "lucky")]

    assert answers == [402, 201]


def test_charge_then_hang_takes_the_money_and_says_nothing(
    gateway: httpx.Client, charge: "Charging", arm: "Arming"
) -> None:
    arm(gateway, "charge_then_hang", times=1)
    wish = {"reference": "hung", "amount": 700, "currency": "USD", "token": "tok_visa"}

    with pytest.raises(httpx.ReadTimeout):
        gateway.post("/v1/charges", json=wish, headers={"idempotency-key": "hung:1"}, timeout=0.3)

    eventually(lambda: charges_of(gateway, "hung"))
    again = charge(key="hung:1", reference="hung", amount=700)
    assert again.status_code == 200
    assert charges_of(gateway, "hung") == [again.json()]


def test_charge_then_500_takes_the_money_and_keeps_the_error(
    gateway: httpx.Client, charge: "Charging", arm: "Arming"
) -> None:
    arm(gateway, "charge_then_500", times=1)

    answers = [charge(key="broken:1", reference="broken") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [500, 500]
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert len(charges_of(gateway, "broken")) == 1


def test_wrong_amount_is_charged_and_told(
    gateway: httpx.Client, charge: "Charging", arm: "Arming"
) -> None:
    arm(gateway, "wrong_amount", times=1)

    made = charge(reference="off", amount=500).json()

    assert made["amount"] == 501
    assert charges_of(gateway, "off") == [made]


@pytest.mark.parametrize(
    ("token", "status"), [("tok_500", 500), ("tok_wrong_amount", 201), ("tok_visa", 201)]
)
def test_token_brings_its_fault_along(
    gateway: httpx.Client, charge: "Charging", token: str, status: int
) -> None:
    answer = charge(reference=f"by-{token}", token=token, amount=900)

    assert answer.status_code == status
    (made,) = charges_of(gateway, f"by-{token}")
    assert made["amount"] == (901 if token == "tok_wrong_amount" else 900)


def test_faults_leave_a_replay_alone(
    gateway: httpx.Client, charge: "Charging", arm: "Arming"
) -> None:
    first = charge(key="done:1", reference="done")
    arm(gateway, "decline")

    again = charge(key="done:1", reference="done")

    assert again.json() == first.json()
    assert gateway.get("/admin/faults").json()["struck"] == {}


def test_refunds_never_exceed_the_charge(gateway: httpx.Client, charge: "Charging") -> None:
    charge_id = charge(amount=1000).json()["id"]

    answers = [refund(gateway, charge_id, amount) for amount in (600, 500, 400, 1)]

    assert [answer.status_code for answer in answers] == [201, 400, 201, 400]
    assert answers[1].json()["error"]["code"] == "refund_exceeds_charge"
    given_back = gateway.get("/v1/refunds", params={"charge": charge_id}).json()["data"]
    assert [it["amount"] for it in given_back] == [600, 400]
    assert given_back[0] == answers[0].json()
    assert set(given_back[0]) == {
        "id", "charge", "amount", "currency", "status", "created_at", "idempotency_key",
    }  # fmt: skip


def test_refund_is_once_per_key(gateway: httpx.Client, charge: "Charging") -> None:
    charge_id = charge(amount=1000).json()["id"]
    key = secrets.token_hex(8)

    answers = [refund(gateway, charge_id, amount, key) for amount in (300, 300, 301)]

    assert [answer.status_code for answer in answers] == [201, 200, 409]
    assert answers[1].json() == answers[0].json()


def test_refund_stands_in_the_ledger(gateway: httpx.Client, charge: "Charging") -> None:
    charge_id = charge(amount=1000).json()["id"]

    made = refund(gateway, charge_id, 250, "the-refund").json()

    listed = gateway.get("/admin/ledger").json()["refunds"]
    assert {
        "id": made["id"],
        "charge": charge_id,
        "amount": 250,
        "created_at": made["created_at"],
        "idempotency_key": "the-refund",
    } in listed


def test_refunds_are_listed_under_their_keys(gateway: httpx.Client, charge: "Charging") -> None:
    charge_id = charge(amount=1000).json()["id"]
    for key in ("first-half", "second-half"):
        refund(gateway, charge_id, 500, key)

    listed = gateway.get("/v1/refunds", params={"charge": charge_id}).json()["data"]

    assert [it["idempotency_key"] for it in listed] == ["first-half", "second-half"]


def test_refund_of_an_unknown_charge_is_not_found(gateway: httpx.Client) -> None:
    assert refund(gateway, "ch_nobody", 1).status_code == 404


def test_refund_is_made_though_its_answer_is_lost(
    gateway: httpx.Client, charge: "Charging", arm: "Arming"
) -> None:
    charge_id = charge(amount=1000).json()["id"]
    arm(gateway, "refund_then_500", times=1)

    answers = [refund(gateway, charge_id, 100, "lost-refund") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [500, 500]
    assert len(gateway.get("/v1/refunds", params={"charge": charge_id}).json()["data"]) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": 1.5},
        {"amount": True},
        {"amount": "1"},
        {"amount": 2**63},
        {"currency": "usd"},
        {"currency": "US"},
        {"currency": "USD\n"},
        {"currency": None},
        {"reference": ""},
        {"reference": 17},
        {"reference": "x" * 256},
        {"token": None},
    ],
)
def test_impossible_charge_is_refused(charge: "Charging", fields: dict[str, object]) -> None:
    answer = charge(key=None, **fields)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"


@pytest.mark.parametrize("body", [b"", b"null", b"[1]", b'{"amount": 1e999}', b'{"a":"\\ud800"}'])
def test_body_that_is_no_json_object_is_refused(gateway: httpx.Client, body: bytes) -> None:
    answer = gateway.post("/v1/charges", content=body, headers={"idempotency-key": "k"})

    assert answer.status_code == 400


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_charge_needs_a_usable_key(charge: "Charging", key: str) -> None:
    assert charge(key=key).status_code == 400


@pytest.mark.parametrize("authorization", ["", "Bearer", "Basic abc"])
def test_caller_without_a_bearer_token_is_refused(
    gateway: httpx.Client, authorization: str
) -> None:
    answer = gateway.get("/v1/charges", headers={"authorization": authorization})

    assert answer.status_code == 401
