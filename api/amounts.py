"""Amounts of money in JSON: plain numbers with at most two decimals."""

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field

from shop import money


def _exact(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        msg = "must be a number"
        raise ValueError(msg)  # noqa: TRY004 - Pydantic turns a ValueError into an answer
    amount = Decimal(str(value))
    if not amount.is_finite() or amount < 0 or amount >= money.to_number(money.MAX_MINOR):
        msg = "must be 0 or more, and less than 10000000000"
        raise ValueError(msg)
    try:
        return money.to_minor(amount)
    except ValueError:
        msg = "must have at most two decimals"
        raise ValueError(msg) from None


MinorAmount = Annotated[
    int,
    BeforeValidator(_exact, json_schema_input_type=float),
    Field(examples=[50.0], json_schema_extra={"type": "number", "multipleOf": 0.01}),
]
"""A JSON number of currency units, held as minor units."""

Quantity = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
ProductId = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]
