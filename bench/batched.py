"""Our side: the shipped settlement, rung once, with a gateway that answers at once."""

from datetime import datetime

from shop import settlement
from shop.gateways.protocol import (
    Answer,
    ChargeRequest,
    Found,
    ListedCharge,
    ListedRefund,
    Missing,
    RefundRequest,
    Succeeded,
)
from shop.settlement import Settler
from workers import deps
from workers.app import app
from workers.bells import ring
from workers.task import task

__all__ = ["app", "settle"]


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
    settlement.settle_due(
        Settler(
            sessions=deps.database().sessions,
            gateway=InstantGateway(),
            ring_again=lambda: ring(settle),
        )
    )
