"""Amounts as a processor counts them, where that differs from ISO 4217.

Razorpay and Stripe take minor units, with these exceptions at Stripe (https://docs.stripe.com/currencies, "Special
cases" and "Zero-decimal currencies"): ISK and UGX have no minor unit, but are sent as if they had two decimals, always
00; MGA has one by ISO 4217, but is sent without. Sent unscaled, an order of 5,000 ISK would charge 50.
"""

from __future__ import annotations

from typing import Final

from payloops.errors import AmountMismatch

_STRIPE_FACTORS: Final = {"ISK": 100, "UGX": 100}
_STRIPE_DIVISORS: Final = {"MGA": 100}


def to_stripe(amount: int, currency: str) -> int:
    """The ``amount`` to send to Stripe for minor units of ``currency`` (upper case).

    Raises ``AmountMismatch`` when Stripe can't express it, such as 1.50 MGA.
    """
    return _divide(amount * _STRIPE_FACTORS.get(currency, 1), _STRIPE_DIVISORS.get(currency, 1), currency)


def from_stripe(amount: int, currency: str) -> int:
    """Minor units of ``currency`` (upper case) for an ``amount`` that Stripe sent.

    Raises ``AmountMismatch`` when it is no whole number of them, such as half a króna.
    """
    return _divide(amount * _STRIPE_DIVISORS.get(currency, 1), _STRIPE_FACTORS.get(currency, 1), currency)


def _divide(amount: int, divisor: int, currency: str) -> int:
    whole, rest = divmod(amount, divisor)
    if rest:
        raise AmountMismatch(f"The processor can't express this amount of {currency}.")
    return whole
