"""Where Stripe does not count in ISO 4217's minor units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payloops.errors import AmountMismatch
from payloops.values import AMOUNT_MAX, CURRENCY_EXPONENTS
from payloops.workflows_bridge.processors.amounts import from_stripe, to_stripe

STRIPE_ZERO_DECIMAL = [
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF",
]  # fmt: skip
STRIPE_THREE_DECIMAL = ["BHD", "JOD", "KWD", "OMR", "TND"]
STRIPE_TWO_DECIMAL = ["USD", "EUR", "GBP", "INR", "HUF", "TWD", "ISK", "UGX"]


@pytest.mark.parametrize(
    ("decimals", "currencies"), ((0, STRIPE_ZERO_DECIMAL), (2, STRIPE_TWO_DECIMAL), (3, STRIPE_THREE_DECIMAL))
)
def test_500_whole_units_are_500_whole_units_at_stripe(decimals: int, currencies: list[str]) -> None:
    for currency in currencies:
        ours = 500 * 10 ** CURRENCY_EXPONENTS[currency]
        theirs = 500 * 10**decimals
        assert to_stripe(ours, currency) == theirs, currency
        assert from_stripe(theirs, currency) == ours, currency


@given(amount=st.integers(1, AMOUNT_MAX), currency=st.sampled_from(sorted(CURRENCY_EXPONENTS)))
def test_there_and_back(amount: int, currency: str) -> None:
    try:
        sent = to_stripe(amount, currency)
    except AmountMismatch:
        assert (currency, amount % 100 != 0) == ("MGA", True)
    else:
        assert from_stripe(sent, currency) == amount


def test_what_can_not_be_expressed() -> None:
    with pytest.raises(AmountMismatch, match="MGA"):
        to_stripe(150, "MGA")
    with pytest.raises(AmountMismatch, match="ISK"):
        from_stripe(150, "ISK")
