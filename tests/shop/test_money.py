"""Amounts are whole minor units; fees round half up, one unit at a time."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop import money

PRICES = st.integers(min_value=0, max_value=money.MAX_MINOR - 1)
RATES = st.integers(min_value=0, max_value=10_000).map(lambda parts: Decimal(parts) / 10_000)


@pytest.mark.parametrize(
    ("price_minor", "rate", "fee_minor"),
    [
        (5000, "0.20", 1000),
        (3333, "0.20", 667),
        (2, "0.20", 0),
        (3, "0.20", 1),
        (25, "0.10", 3),
        (35, "0.10", 4),
        (5, "0.10", 1),
        (4, "0.10", 0),
        (999_999_999_999, "0.20", 200_000_000_000),
        (5000, "0", 0),
        (5000, "1", 5000),
    ],
)
def test_fee_of_one_unit_rounds_half_up(price_minor: int, rate: str, fee_minor: int) -> None:
    assert money.unit_fee(price_minor, Decimal(rate)) == fee_minor


@given(price_minor=PRICES, rate=RATES)
def test_fee_is_what_integer_arithmetic_says(price_minor: int, rate: Decimal) -> None:
    parts = int(rate * 10_000)

    fee_minor = money.unit_fee(price_minor, rate)

    assert fee_minor == (2 * price_minor * parts + 10_000) // 20_000


@given(minor=PRICES)
def test_an_amount_comes_back_as_it_was_shown(minor: int) -> None:
    shown = money.to_number(minor)

    assert money.to_minor(Decimal(str(shown))) == minor


@pytest.mark.parametrize("amount", ["0.001", "33.333", "-0.005", "1e-3"])
def test_more_than_two_decimals_are_no_amount(amount: str) -> None:
    with pytest.raises(ValueError, match=str(Decimal(amount))):
        money.to_minor(Decimal(amount))
