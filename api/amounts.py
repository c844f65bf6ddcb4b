"""Amounts of money in JSON and in queries: plain numbers with at most two decimals."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field

from shop import money

_PLAIN = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?")


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


def _written(value: object) -> int:
    if not isinstance(value, str) or not _PLAIN.fullmatch(value):
        msg = "must be an amount such as 9.99"
        raise ValueError(msg)
    return money.to_minor(Decimal(value))


MinorAmount = Annotated[
    int,
    BeforeValidator(_exact, json_schema_input_type=float),
    Field(examples=[50.0], json_schema_extra={"type": "number", "multipleOf": 0.01}),
]
"""A JSON number of currency units, held as minor units."""

WrittenAmount = Annotated[
    int,
    BeforeValidator(_written, json_schema_input_type=str),
    Field(examples=["9.99"], json_schema_extra={"type": "string", "pattern": _PLAIN.pattern}),
]
"""An amount of currency units in a query, held as minor units."""

Quantity = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
ProductId = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]
