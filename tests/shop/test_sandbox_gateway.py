"""Answers that no sandbox gives: its client takes none of them for a proof."""

import pytest

from shop.gateways.protocol import ChargeRequest, NotSent, Unknown
from shop.gateways.sandbox import SandboxGateway
from tests.shop.canned import CannedServer

CHARGE = ChargeRequest("17:1", "17", 4200, "USD", "tok_visa")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(201, b"", id="empty"),
        pytest.param(201, b"null", id="null"),
        pytest.param(201, b"[]", id="a list"),
        pytest.param(201, b"{}", id="no fields"),
        pytest.param(201, b"[" * 100_000, id="deeply nested"),
        pytest.param(201, b'{"id": 1e999}', id="a number beyond a float"),
        pytest.param(201, b"\xff\xfe", id="no text"),
        pytest.param(201, b'{"id":"ch_1","reference":"17","amount":4200,"currency":"USD"}',
                     id="no status"),
        pytest.param(201, b'{"id":"ch_1","reference":"17","amount":4200,"currency":"USD",'
                     b'"status":"pending"}', id="another status"),
        pytest.param(201, b'{"id":"ch_1","reference":"17","amount":4200,"currency":"EUR",'
                     b'"status":"succeeded"}', id="another currency"),
        pytest.param(201, b'{"id":"ch_1","reference":"18","amount":4200,"currency":"USD",'
                     b'"status":"succeeded"}', id="another order"),
        pytest.param(201, b'{"id":"","reference":"17","amount":4200,"currency":"USD",'
                     b'"status":"succeeded"}', id="an empty id"),
        pytest.param(201, b'{"id":"' + b"x" * 101 + b'","reference":"17","amount":4200,'
                     b'"currency":"USD","status":"succeeded"}', id="an endless id"),
        pytest.param(302, b"", id="a redirect"),
        pytest.param(402, b"{}", id="refused without a word"),
        pytest.param(402, b'{"error": "card_declined"}', id="an error of another form"),
        pytest.param(400, b'{"error": {"code": "invalid_request"}}', id="a request it dislikes"),
        pytest.param(409, b'{"error": {"code": "key_in_use"}}', id="a key in use"),
        pytest.param(503, b'{"error": {"code": "card_declined_maybe"}}', id="out of service"),
    ],
)  # fmt: skip
def test_an_answer_that_proves_nothing_is_unknown(
    canned: CannedServer, status: int, body: bytes
) -> None:
    canned.answer(status, body)

    answer = SandboxGateway(canned.url).charge(CHARGE)

    assert isinstance(answer, Unknown)


@pytest.mark.parametrize("status", [401, 403, 429])
def test_an_answer_that_excludes_a_charge_means_not_sent(canned: CannedServer, status: int) -> None:
    canned.answer(status, b'{"error": {"code": "whatever"}}')

    answer = SandboxGateway(canned.url).charge(CHARGE)

    assert isinstance(answer, NotSent)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(500, b'{"data": []}', id="an empty list with an error"),
        pytest.param(200, b'{"data": null}', id="no list"),
        pytest.param(200, b'{"data": 5}', id="a number"),
        pytest.param(200, b"[]", id="another form"),
        pytest.param(200, b"{}", id="nothing"),
        pytest.param(200, b'{"data": [{"id": "ch_1", "idempotency_key": "17:1"}]}', id="no amount"),
    ],
)
def test_a_look_up_that_proves_nothing_is_unknown(
    canned: CannedServer, status: int, body: bytes
) -> None:
    canned.answer(status, body)

    answer = SandboxGateway(canned.url).find_charge(CHARGE)

    assert isinstance(answer, Unknown)
