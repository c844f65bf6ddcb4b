"""Webhooks of payment gateways over HTTP."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel

from api.deps import AppSettings, Sessions
from api.errors import problems
from infra.errors import NotFound
from shop import webhooks
from shop.gateways import signatures
from shop.gateways.notices import SIGNATURE_HEADERS, MalformedWebhook, read_notice
from workers.bells import ring
from workers.payments import settle
from workers.refunds import settle as settle_refunds

router = APIRouter(prefix="/payments/webhooks", tags=["payments"])


class WebhooksNotTaken(NotFound):
    """No gateway of that name may send webhooks here."""

    code = "webhooks_not_taken"

    def __init__(self) -> None:
        super().__init__("No gateway of that name may send webhooks here: its secret is not set.")


class WebhookOut(BaseModel):
    """The event is kept; `known` means that it had come before."""

    status: Literal["received", "known"]


async def _raw_body(request: Request) -> bytes:
    return await request.body()


RawBody = Annotated[bytes, Depends(_raw_body)]
"""The body, byte for byte as it was signed."""


@router.post(
    "/{gateway}",
    responses=problems(signatures.BadSignature, WebhooksNotTaken, MalformedWebhook),
)
def receive_webhook(
    gateway: Annotated[
        str, Path(max_length=20, description="Whose event it is: `stripe` or `sandbox`.")
    ],
    request: Request,
    body: RawBody,
    settings: AppSettings,
    sessions: Sessions,
) -> WebhookOut:
    """Take a gateway's signed event and look its payment up soon; the same event does so once."""
    secrets = settings.webhook_secrets.get(gateway)
    if not secrets:
        raise WebhooksNotTaken
    signatures.check(request.headers.get(SIGNATURE_HEADERS[gateway]), body, secrets=secrets)
    received = webhooks.receive(sessions, read_notice(gateway, body))
    ring(
        *([settle] if received.payment_due else []),
        *([settle_refunds] if received.refund_due else []),
    )
    return WebhookOut(status="received" if received.is_new else "known")
