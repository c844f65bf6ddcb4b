"""Money: integer minor units inside, decimal numbers at the edges, never float arithmetic."""

from decimal import ROUND_HALF_UP, Decimal

MAX_MINOR = 10**12
_MINOR_PER_UNIT = 100


def to_minor(amount: Decimal) -> int:
    """Turn an amount with at most two decimals into minor units.

    Raises:
        ValueError: it has more decimals.
    """
    minor = amount * _MINOR_PER_UNIT
    if minor != minor.to_integral_value():
        raise ValueError(amount)
    return int(minor)


def to_number(minor: int) -> float:
    """Turn minor units into the number JSON shows: the nearest float prints as two decimals."""
    return minor / _MINOR_PER_UNIT


def unit_fee(price_minor: int, rate: Decimal) -> int:
    """Compute the fee on one unit, rounded half up to the minor unit."""
    return int((price_minor * rate).quantize(Decimal(1), rounding=ROUND_HALF_UP))
