"""Our side: the shipped settlement, rung once, at a gateway that answers at once or in 50 ms."""

from datetime import datetime

from bench import slow_gateway
from shop import settlement
from shop.gateways.protocol import (
    Answer,
    ChargeRequest,
    Found,
    ListedCharge,
    ListedRefund,
    Missing,
    PaymentGateway,
    RefundRequest,
    Succeeded,
)
from shop.settlement import Settler
from workers import deps
from workers.app import app
from workers.bells import ring
from workers.task import Bell, task

__all__ = ["app", "settle", "settle_slowly"]


class InstantGateway:
    """Says yes to everything without delay."""

    name = "instant"
    max_in_flight = 500

    def charge(self, request: ChargeRequest) -> Answer:
        """Take the money."""
        return Succeeded(f"ch_{request.key}")

    def find_charge(self, request: ChargeRequest, *, charge_id: str | None = None) -> Found:
        """Know nothing: every charge is sent once."""
        del request, charge_id
        return Missing()

    def refund(self, request: RefundRequest) -> Answer:
        """Give the money back."""
        return Succeeded(f"re_{request.key}")

    def find_refund(self, request: RefundRequest) -> Found:
        """Know nothing: every refund is sent once."""
        del request
        return Missing()

    def list_charges(self, since: datetime, until: datetime) -> list[ListedCharge]:
        """Keep no books."""
        del since, until
        return []

    def list_refunds(self, since: datetime, until: datetime) -> list[ListedRefund]:
        """Keep no books."""
        del since, until
        return []


@task(name="bench.settle", queue="payments")
def settle() -> None:
    """Settle what is due, as `payments.settle` does."""
    _settle(InstantGateway(), settle)


@task(name="bench.settle_slowly", queue="payments")
def settle_slowly() -> None:
    """Settle what is due at the gateway that takes its time."""
    _settle(slow_gateway.client(), settle_slowly)


def _settle(gateway: PaymentGateway, bell: Bell) -> None:
    settlement.settle_due(
        Settler(sessions=deps.database().sessions, gateway=gateway, ring_again=lambda: ring(bell))
    )
