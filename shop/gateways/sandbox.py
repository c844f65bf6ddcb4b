"""The sandbox gateway's client: what an HTTP payment API answers, as yes, no or unknown."""

from typing import Any

import httpx

from shop.gateways.protocol import (
    Answer,
    ChargeRequest,
    Declined,
    Found,
    Missing,
    NotSent,
    RefundRequest,
    Succeeded,
    Unknown,
)

CONNECT_TIMEOUT_S = 2.0
_NOT_EXECUTED = frozenset({401, 403, 429})


class SandboxGateway:
    """A payment API with idempotency keys, spoken to over HTTP; safe to use from many threads."""

    name = "sandbox"
    max_in_flight = 200

    def __init__(self, url: str, *, timeout_s: float = 15.0) -> None:
        limits = httpx.Limits(
            max_connections=self.max_in_flight, max_keepalive_connections=self.max_in_flight
        )
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": "Bearer sandbox"},
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            limits=limits,
            follow_redirects=False,
            trust_env=False,
        )

    def charge(self, request: ChargeRequest) -> Answer:
        """Take the money; the same key again is the same charge."""
        body = {
            "reference": request.reference,
            "amount": request.amount_minor,
            "currency": request.currency,
            "token": request.token,
        }
        return self._post("/v1/charges", request.key, body, expected=_charge_of(request))

    def find_charge(self, request: ChargeRequest) -> Found:
        """Look the charge of this request up by its reference."""
        try:
            answer = self._http.get("/v1/charges", params={"reference": request.reference})
            charges = [item for item in _json(answer)["data"] if _is_of(item, request)]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            return Unknown(f"look-up failed: {type(error).__name__}")
        if not charges:
            return Missing()
        return _confirmed(charges[0], _charge_of(request))

    def refund(self, request: RefundRequest) -> Answer:
        """Give money back; the same key again is the same refund."""
        body = {"charge": request.charge_id, "amount": request.amount_minor}
        return self._post("/v1/refunds", request.key, body, expected=body)

    def _post(
        self, path: str, key: str, body: dict[str, Any], *, expected: dict[str, Any]
    ) -> Answer:
        try:
            answer = self._http.post(path, json=body, headers={"Idempotency-Key": key})
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return NotSent(type(error).__name__)
        except httpx.HTTPError as error:
            return Unknown(type(error).__name__)
        return _classify(answer, expected)


def _classify(answer: httpx.Response, expected: dict[str, Any]) -> Answer:
    if answer.status_code in _NOT_EXECUTED:
        return NotSent(f"the gateway answered {answer.status_code}")
    try:
        document = _json(answer)
    except ValueError:
        return Unknown(f"the gateway answered {answer.status_code} without JSON")
    if answer.is_success:
        return _confirmed(document, expected)
    return _refused(answer.status_code, document)


def _refused(status: int, document: dict[str, Any]) -> Answer:
    error = document.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if code == "card_declined" and isinstance(error, dict):
        return Declined(str(error.get("decline_code") or code))
    if code == "refund_exceeds_charge":
        return Declined(code)
    return Unknown(f"the gateway answered {status} {code}")


def _confirmed(document: dict[str, Any], expected: dict[str, Any]) -> Succeeded | Unknown:
    """Believe a success only if it is about what was asked for."""
    different = [name for name, value in expected.items() if document.get(name) != value]
    charge_id = document.get("id")
    if different or document.get("status") != "succeeded" or not isinstance(charge_id, str):
        return Unknown(f"the gateway's answer differs in {', '.join(different) or 'its status'}")
    return Succeeded(charge_id)


def _charge_of(request: ChargeRequest) -> dict[str, Any]:
    return {
        "reference": request.reference,
        "amount": request.amount_minor,
        "currency": request.currency,
    }


def _is_of(item: object, request: ChargeRequest) -> bool:
    return isinstance(item, dict) and item.get("idempotency_key", request.key) == request.key


def _json(answer: httpx.Response) -> dict[str, Any]:
    document = answer.json()
    if not isinstance(document, dict):
        raise ValueError(document)  # noqa: TRY004 - the content is wrong, not a type of ours
    return document
