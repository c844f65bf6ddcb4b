"""The sandbox gateway's client: what an HTTP payment API answers, as yes, no or unknown."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import orjson

from infra.http import Reply, read_whole
from shop.gateways.protocol import (
    Answer,
    ChargeRequest,
    Declined,
    Found,
    ListedCharge,
    ListedRefund,
    Missing,
    NotSent,
    RefundRequest,
    Succeeded,
    Unknown,
)

CONNECT_TIMEOUT_S = 2.0
_NOT_EXECUTED = frozenset({401, 403, 429})
_LONGEST_ID = 100
T = TypeVar("T")


class SandboxGateway:
    """A payment API with idempotency keys, spoken to over HTTP; safe to use from many threads."""

    name = "sandbox"
    max_in_flight = 200

    def __init__(self, url: str, *, timeout_s: float = 15.0, page_size: int = 1000) -> None:
        self._page_size = page_size
        self._timeout_s = timeout_s
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

    def find_charge(
        self,
        request: ChargeRequest,
        *,
        charge_id: str | None = None,  # noqa: ARG002 - the list by reference is complete
    ) -> Found:
        """Look the charge of this request up by its reference."""
        query = {"reference": request.reference}
        return self._find("/v1/charges", query, request.key, expected=_charge_of(request))

    def refund(self, request: RefundRequest) -> Answer:
        """Give money back; the same key again is the same refund."""
        body = {"charge": request.charge_id, "amount": request.amount_minor}
        return self._post("/v1/refunds", request.key, body, expected=_refund_of(request))

    def find_refund(self, request: RefundRequest) -> Found:
        """Look the refund of this key up by its charge; an equal one may have another key."""
        query = {"charge": request.charge_id}
        return self._find("/v1/refunds", query, request.key, expected=_refund_of(request))

    def list_charges(self, since: datetime, until: datetime) -> list[ListedCharge] | Unknown:
        """List what was charged from `since` on and before `until`, by the gateway's clock."""
        return self._list("/v1/charges", since, until, _listed_charge)

    def list_refunds(self, since: datetime, until: datetime) -> list[ListedRefund] | Unknown:
        """List what was given back from `since` on and before `until`, by the gateway's clock."""
        return self._list("/v1/refunds", since, until, _listed_refund)

    def _list(
        self, path: str, since: datetime, until: datetime, read: Callable[[dict[str, Any]], T]
    ) -> list[T] | Unknown:
        query: dict[str, str | int] = {
            "limit": self._page_size,
            "created_gte": _instant(since),
            "created_lt": _instant(until),
        }
        listed: list[T] = []
        try:
            while True:
                answer = self._ask("GET", path, params=query)
                if answer.status != httpx.codes.OK:
                    return Unknown(f"list failed: the gateway answered {answer.status}")
                page = _json(answer)
                listed += [read(item) for item in page["data"] if item["status"] == "succeeded"]
                if not page["has_more"]:
                    return listed
                query["starting_after"] = page["data"][-1]["id"]
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            return Unknown(f"list failed: {type(error).__name__}")

    def _post(
        self, path: str, key: str, body: dict[str, Any], *, expected: dict[str, Any]
    ) -> Answer:
        try:
            answer = self._ask("POST", path, json=body, headers={"Idempotency-Key": key})
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return NotSent(type(error).__name__)
        except httpx.HTTPError as error:
            return Unknown(type(error).__name__)
        return _classify(answer, expected)

    def _find(
        self, path: str, query: dict[str, str], key: str, *, expected: dict[str, Any]
    ) -> Found:
        try:
            answer = self._ask("GET", path, params=query)
            if answer.status != httpx.codes.OK:
                return Unknown(f"look-up failed: the gateway answered {answer.status}")
            found = [item for item in _json(answer)["data"] if _is_under(item, key)]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            return Unknown(f"look-up failed: {type(error).__name__}")
        return _confirmed(found[0], expected) if found else Missing()

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        ends_at_s = time.monotonic() + self._timeout_s
        with self._http.stream(method, path, params=params, json=json, headers=headers) as answer:
            return read_whole(answer, ends_at_s=ends_at_s)


def _classify(answer: Reply, expected: dict[str, Any]) -> Answer:
    if answer.status in _NOT_EXECUTED:
        return NotSent(f"the gateway answered {answer.status}")
    try:
        document = _json(answer)
    except ValueError:
        return Unknown(f"the gateway answered {answer.status} without JSON")
    if httpx.codes.is_success(answer.status):
        return _confirmed(document, expected)
    return _refused(answer.status, document)


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
    if document.get("status") != "succeeded":
        different.append("status")
    made_id = document.get("id")
    if not isinstance(made_id, str) or not 0 < len(made_id) <= _LONGEST_ID:
        different.append("id")
    if different or not isinstance(made_id, str):
        return Unknown(f"the gateway's answer differs in {', '.join(different)}")
    return Succeeded(made_id)


def _charge_of(request: ChargeRequest) -> dict[str, Any]:
    return {
        "reference": request.reference,
        "amount": request.amount_minor,
        "currency": request.currency,
    }


def _refund_of(request: RefundRequest) -> dict[str, Any]:
    return {
        "charge": request.charge_id,
        "amount": request.amount_minor,
        "currency": request.currency,
    }


def _listed_charge(item: dict[str, Any]) -> ListedCharge:
    return ListedCharge(
        id=str(item["id"]),
        key=str(item["idempotency_key"]),
        reference=str(item["reference"]),
        amount_minor=int(item["amount"]),
        currency=str(item["currency"]),
        created_at=datetime.fromisoformat(item["created_at"]),
    )


def _listed_refund(item: dict[str, Any]) -> ListedRefund:
    key = item.get("idempotency_key")
    return ListedRefund(
        id=str(item["id"]),
        key=None if key is None else str(key),
        charge_id=str(item["charge"]),
        amount_minor=int(item["amount"]),
        currency=str(item["currency"]),
        created_at=datetime.fromisoformat(item["created_at"]),
    )


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_under(item: object, key: str) -> bool:
    return isinstance(item, dict) and item.get("idempotency_key") == key


def _json(answer: Reply) -> dict[str, Any]:
    document = orjson.loads(answer.body)
    if not isinstance(document, dict):
        raise ValueError(document)  # noqa: TRY004 - the content is wrong, not a type of ours
    return document
