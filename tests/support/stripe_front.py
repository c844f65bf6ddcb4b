"""Stripe as the tests have it: localstripe, with what it lacks put before it.

localstripe knows neither idempotency keys nor search, and refuses some parameters. The front keeps
answers per key, answers search and lists from what it has seen made, and `_localise` is the one
place where a request is changed on its way.
"""

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from shop.gateways.stripe import API_VERSION
from tests.support.processes import PYTHON, Nursery, free_port

API_KEY = "sk_test_localstripe"
INTENTS, REFUNDS = "/v1/payment_intents", "/v1/refunds"
_POLL_S = 0.01
_HUNG_AT_MOST_S = 20.0
# The server's own start listens on IPv6 and keeps a file in /tmp that every write makes anew.
_SERVE = """
import sys
from aiohttp import web
from localstripe import resources, server
resources.Store.dump_to_disk = lambda self: None
web.run_app(server.app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""
Form = dict[str, str]
Document = dict[str, Any]


@dataclass(frozen=True)
class _Card:
    """What stands behind a token: localstripe's card, and what Stripe would say of it."""

    method: Mapping[str, str] = field(default_factory=dict)
    known: str = ""
    error: Mapping[str, str] = field(default_factory=dict)


_PAYS = _Card(known="pm_card_visa")
_CARDS = {
    "tok_visa": _PAYS,
    "tok_500": _PAYS,
    "tok_wrong_amount": _PAYS,
    "tok_declined": _Card(
        known="pm_card_chargeCustomerFail",
        error={"code": "card_declined", "decline_code": "generic_decline"},
    ),
    "tok_insufficient_funds": _Card(
        known="pm_card_chargeCustomerFail",
        error={"code": "card_declined", "decline_code": "insufficient_funds"},
    ),
    "tok_expired": _Card(known="pm_card_chargeCustomerFail", error={"code": "expired_card"}),
    "tok_authenticate": _Card(
        method={
            "type": "card",
            "card[number]": "4000002760003184",
            "card[exp_month]": "12",
            "card[exp_year]": "2040",
            "card[cvc]": "123",
        }
    ),
    "tok_processing": _PAYS,
}


@dataclass(frozen=True)
class _Answer:
    status: int
    body: Document


class StripeFront(ThreadingHTTPServer):
    """Answers as Stripe does, on a free port of 127.0.0.1."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, nursery: Nursery) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._port = free_port()
        nursery.start("localstripe", [PYTHON, "-c", _SERVE, str(self._port)]).wait_until(
            self._answers
        )
        self._kept: dict[str, tuple[Form, _Answer]] = {}
        self._made: dict[str, list[str]] = {INTENTS: [], REFUNDS: []}
        self._keys: dict[str, str] = {}
        self._under_way: set[str] = set()
        self._books = threading.Lock()
        self.search_is_silent = False
        self.hangs = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL_S,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.server_port}"

    def reset(self) -> None:
        """Forget what a test has asked for; the books stay, as Stripe's would."""
        self.search_is_silent = False
        self.hangs.clear()

    def finish(self) -> None:
        """Let the charges succeed that are under way; `tok_processing` makes such."""
        self._under_way.clear()

    def intents_of(self, reference: str) -> list[Document]:
        """List the PaymentIntents of one reference: the oracle of tests about money."""
        listed = [self._show(INTENTS, made_id) for made_id in self._made[INTENTS]]
        return [intent for intent in listed if intent["metadata"]["reference"] == reference]

    def close(self) -> None:
        """Stop answering."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def answer_get(self, path: str, query: Form) -> _Answer:
        """Answer a read, from localstripe or from the front's own list."""
        if path == f"{INTENTS}/search":
            return _Answer(200, {"object": "search_result", **self._search(query["query"])})
        if path in self._made and "payment_intent" not in query:
            return _Answer(200, {"object": "list", "url": path, **self._page(path, query)})
        answer = self._forward("GET", f"{path}?{urlencode(query)}" if query else path)
        if path.startswith(INTENTS) and answer.status == 200:
            return _Answer(200, self._complete(answer.body))
        return answer

    def answer_post(self, path: str, form: Form, key: str) -> _Answer:
        """Answer a write once per idempotency key."""
        with self._books:
            if key not in self._kept:
                self._kept[key] = (form, self._make(path, form))
            first, answer = self._kept[key]
        if first != form:
            error = {"type": "idempotency_error", "message": "The key was used otherwise."}
            return _Answer(400, {"error": error})
        return answer

    def _make(self, path: str, form: Form) -> _Answer:
        if path == REFUNDS and self._exceeds(form):
            error = {"type": "invalid_request_error", "param": "amount", "message": "Too much."}
            return _Answer(400, {"error": error})
        if path != INTENTS:
            made = self._forward("POST", path, form)
            if path == REFUNDS and made.status == 200:
                self._made[REFUNDS].append(made.body["id"])
            return made
        token = form.get("payment_method_data[card][token]", "")
        if token not in _CARDS:
            return _unknown_token()
        made = self._forward("POST", path, self._localise(form, _CARDS[token]))
        made_id = self._id_of(made)
        self._made[INTENTS].append(made_id)
        self._keys[form["metadata[key]"]] = made_id
        if token == "tok_processing":
            self._under_way.add(made_id)
        if made.status == 402:
            intent = self._show(INTENTS, made_id)
            refusal = {"type": "card_error", **_CARDS[token].error, "payment_intent": intent}
            return _Answer(402, {"error": refusal})
        if token == "tok_500":
            return _Answer(500, {"error": {"type": "api_error", "message": "Broken."}})
        return _Answer(made.status, self._complete(made.body)) if made.status == 200 else made

    def _localise(self, form: Form, card: _Card) -> Form:
        """Take off what localstripe refuses, having looked that it is right, and name its card."""
        sent = dict(form)
        assert sent.pop("automatic_payment_methods[enabled]") == "true"
        assert sent.pop("automatic_payment_methods[allow_redirects]") == "never"
        assert sent.pop("payment_method_data[type]") == "card"
        token = sent.pop("payment_method_data[card][token]")
        assert sent["confirm"] == "true"
        assert sent["metadata[order]"] == sent["metadata[reference]"]
        if token == "tok_wrong_amount":
            sent["amount"] = str(int(sent["amount"]) + 1)
        method = card.known
        if card.method:
            method = self._forward("POST", "/v1/payment_methods", dict(card.method)).body["id"]
        return {**sent, "payment_method": method}

    def _complete(self, intent: Document) -> Document:
        """Add what localstripe leaves out of a PaymentIntent."""
        status = "processing" if intent["id"] in self._under_way else intent["status"]
        return {
            **intent,
            "status": status,
            "amount_received": intent["amount"] if status == "succeeded" else 0,
            "cancellation_reason": "requested_by_customer" if status == "canceled" else None,
        }

    def _exceeds(self, form: Form) -> bool:
        intent = self._forward("GET", f"{INTENTS}/{form['payment_intent']}")
        if intent.status != 200:
            return False
        wish = urlencode({"payment_intent": form["payment_intent"], "limit": 100})
        gone = sum(it["amount"] for it in self._forward("GET", f"{REFUNDS}?{wish}").body["data"])
        return bool(gone + int(form["amount"]) > intent.body["amount"])

    def _search(self, query: str) -> Document:
        asked = re.fullmatch(r"metadata\['key'\]:'([^']*)'", query)
        assert asked, f"an unexpected search: {query}"
        found = [] if self.search_is_silent else [self._keys.get(asked[1], "")]
        data = [self._show(INTENTS, made_id) for made_id in found if made_id]
        return {"data": data, "has_more": False}

    def _page(self, path: str, query: Form) -> Document:
        """Answer a list as Stripe does: newest first, in pages, within a span of time."""
        since, until = int(query["created[gte]"]), int(query["created[lt]"])
        listed = [self._show(path, made_id) for made_id in reversed(self._made[path])]
        wanted = [it for it in listed if since <= it["created"] < until]
        ids = [it["id"] for it in wanted]
        start = ids.index(query["starting_after"]) + 1 if "starting_after" in query else 0
        end = start + int(query["limit"])
        return {"data": wanted[start:end], "has_more": end < len(wanted)}

    def _show(self, path: str, made_id: str) -> Document:
        body = self._forward("GET", f"{path}/{made_id}").body
        return self._complete(body) if path == INTENTS else body

    def _id_of(self, made: _Answer) -> str:
        if made.status == 402:
            charge = self._forward("GET", f"/v1/charges/{made.body['error']['charge']}")
            return str(charge.body["payment_intent"])
        return str(made.body["id"])

    def _forward(self, method: str, path: str, form: Form | None = None) -> _Answer:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        headers = {"Authorization": f"Bearer {API_KEY}"}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, urlencode(form or {}), headers)
            answer = connection.getresponse()
            return _Answer(answer.status, json.loads(answer.read()))
        finally:
            connection.close()

    def _answers(self) -> bool:
        try:
            return self._forward("GET", REFUNDS).status == 200
        except OSError:
            return False


class _Handler(BaseHTTPRequestHandler):
    server: StripeFront
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if self._is_allowed():
            self._write(self.server.answer_get(asked.path, dict(parse_qsl(asked.query))))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self._is_allowed():
            key = self.headers["Idempotency-Key"]
            answer = self.server.answer_post(self.path, dict(parse_qsl(body)), key)
            if self.server.hangs.is_set():
                threading.Event().wait(_HUNG_AT_MOST_S)
            self._write(answer)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def _is_allowed(self) -> bool:
        assert self.headers["Stripe-Version"] == API_VERSION
        if self.headers["Authorization"] == f"Bearer {API_KEY}":
            return True
        self._write(_Answer(401, {"error": {"type": "invalid_request_error"}}))
        return False

    def _write(self, answer: _Answer) -> None:
        body = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _unknown_token() -> _Answer:
    error = {
        "type": "invalid_request_error",
        "code": "resource_missing",
        "param": "payment_method_data[card][token]",
    }
    return _Answer(400, {"error": error})
