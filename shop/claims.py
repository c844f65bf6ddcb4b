"""A payment under a lease, and what the gateway said to it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from infra.db import Row
from shop.gateway_calls import CallLog
from shop.gateways.protocol import Answer, ChargeRequest, Missing


@dataclass(frozen=True, slots=True)
class Claim:
    """A payment that is ours until the lease ends, with the request to send for it.

    The request is that of the order's `n`-th attempt, and no call begins after `send_by_s`, by this
    process's monotonic clock: the lease could end first.
    `ended` means that the order has ended unpaid: a charge that was given up is only looked for.
    """

    payment: Row
    request: ChargeRequest
    first_sent_at: datetime
    n: int
    sent_before: bool = False
    may_send: bool = True
    missing_since: datetime | None = None
    charge_id: str | None = None
    ended: bool = False
    send_by_s: float = math.inf
    log: CallLog = field(default_factory=CallLog, compare=False)

    @property
    def payment_id(self) -> int:
        """The payment's id."""
        return int(self.payment["id"])

    @property
    def order_id(self) -> int:
        """The id of the order that the payment is for."""
        return int(self.payment["order_id"])


Answered = Sequence[tuple[Claim, Answer | Missing]]
