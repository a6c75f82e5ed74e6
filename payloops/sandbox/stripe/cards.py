"""Stripe's documented test payment methods and what each does (docs.stripe.com/testing)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Decline:
    """How the issuer refuses: the error's code, its decline code and a sentence for the customer."""

    code: str
    decline_code: str | None
    message: str


@dataclass(frozen=True, slots=True)
class SimulatedMethod:
    """A test payment method and its fate."""

    name: str
    brand: str = "visa"
    last4: str = "4242"
    funding: str = "credit"
    country: str = "US"
    method_type: Literal["card", "us_bank_account"] = "card"
    authentication: bool = False
    """Whether the customer has to pass 3-D Secure."""
    decline: Decline | None = None
    refund: Literal["succeeds", "pending", "fails"] = "succeeds"
    """``pending`` succeeds later; ``fails`` succeeds at first and fails later."""
    dispute: str | None = None
    """The reason for which the customer disputes the charge some time later."""
    settles: Literal["at_once", "later", "later_fails"] = "at_once"
    """Bank debits stay ``processing`` for a while."""


def _declined(decline_code: str) -> Decline:
    words = decline_code.replace("_", " ")
    return Decline("card_declined", decline_code, f"Your card was declined ({words}).")


_GENERIC: Final = Decline("card_declined", "generic_decline", "Your card was declined.")
_FUNDS: Final = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
_EXPIRED: Final = Decline("expired_card", "expired_card", "Your card has expired.")
_CVC: Final = Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect.")
_PROCESSING: Final = Decline(
    "processing_error", "processing_error", "An error occurred while processing your card. Try again in a little bit."
)
_BANK_CLOSED: Final = Decline("account_closed", None, "The customer's bank account has been closed.")

AUTHENTICATION_REQUIRED: Final = Decline(
    "authentication_required", "authentication_required", "Your card was declined. It requires authentication."
)


_METHODS: Final = (
    SimulatedMethod("visa"),
    SimulatedMethod("visa_debit", last4="5556", funding="debit"),
    SimulatedMethod("mastercard", brand="mastercard", last4="4444"),
    SimulatedMethod("mastercard_debit", brand="mastercard", last4="3222", funding="debit"),
    SimulatedMethod("mastercard_prepaid", brand="mastercard", last4="5100", funding="prepaid"),
    SimulatedMethod("amex", brand="amex", last4="8431"),
    SimulatedMethod("discover", brand="discover", last4="1117"),
    SimulatedMethod("diners", brand="diners", last4="3237"),
    SimulatedMethod("jcb", brand="jcb", last4="0505"),
    SimulatedMethod("unionpay", brand="unionpay", last4="0005"),
    SimulatedMethod("us"),
    SimulatedMethod("gb", last4="0005", country="GB"),
    SimulatedMethod("de", last4="0016", country="DE"),
    SimulatedMethod("in", last4="0007", country="IN"),
    SimulatedMethod("bypassPending", last4="0077"),
    SimulatedMethod("visa_chargeDeclined", last4="0002", decline=_GENERIC),
    SimulatedMethod("visa_chargeDeclinedInsufficientFunds", last4="9995", decline=_FUNDS),
    SimulatedMethod("visa_chargeDeclinedLostCard", last4="9987", decline=_declined("lost_card")),
    SimulatedMethod("visa_chargeDeclinedStolenCard", last4="9979", decline=_declined("stolen_card")),
    SimulatedMethod("chargeDeclinedExpiredCard", last4="0069", decline=_EXPIRED),
    SimulatedMethod("chargeDeclinedIncorrectCvc", last4="0127", decline=_CVC),
    SimulatedMethod("chargeDeclinedProcessingError", last4="0119", decline=_PROCESSING),
    SimulatedMethod(
        "visa_chargeDeclinedVelocityLimitExceeded", last4="6975", decline=_declined("card_velocity_exceeded")
    ),
    SimulatedMethod("chargeDeclinedFraudulent", last4="0019", decline=_declined("fraudulent")),
    SimulatedMethod("radarBlock", last4="0019", decline=_declined("fraudulent")),
    SimulatedMethod("chargeCustomerFail", last4="0341", decline=_GENERIC),
    SimulatedMethod("authenticationRequired", last4="3184", authentication=True),
    SimulatedMethod("authenticationRequiredOnSetup", last4="3155", authentication=True),
    SimulatedMethod("threeDSecureRequired", last4="3063", authentication=True),
    SimulatedMethod("threeDSecure2Required", last4="3220", authentication=True),
    SimulatedMethod("threeDSecureOptional", last4="3055"),
    SimulatedMethod("threeDSecureRequiredChargeDeclined", last4="1629", authentication=True, decline=_GENERIC),
    SimulatedMethod(
        "authenticationRequiredChargeDeclinedInsufficientFunds", last4="8341", authentication=True, decline=_FUNDS
    ),
    SimulatedMethod("createDispute", last4="0259", dispute="fraudulent"),
    SimulatedMethod("createDisputeProductNotReceived", last4="2685", dispute="product_not_received"),
    SimulatedMethod("pendingRefund", last4="7726", refund="pending"),
    SimulatedMethod("refundFail", last4="5126", refund="fails"),
)

_BANK_ACCOUNTS: Final = (
    SimulatedMethod("success", last4="6789", method_type="us_bank_account", settles="later"),
    SimulatedMethod(
        "accountClosed", last4="1113", method_type="us_bank_account", settles="later_fails", decline=_BANK_CLOSED
    ),
)

_ALIASES: Final = {
    # The older names of two declines.
    "chargeDeclined": "visa_chargeDeclined",
    "chargeDeclinedInsufficientFunds": "visa_chargeDeclinedInsufficientFunds",
}


def _tokens() -> dict[str, SimulatedMethod]:
    named = {method.name: method for method in _METHODS}
    named |= {alias: named[name] for alias, name in _ALIASES.items()}
    tokens = {}
    for name, method in named.items():
        tokens[f"pm_card_{name}"] = tokens[f"tok_{name}"] = replace(method, name=f"pm_card_{name}")
    for account in _BANK_ACCOUNTS:
        token = f"pm_usBankAccount_{account.name}"
        tokens[token] = replace(account, name=token)
    return tokens


_TOKENS: Final = _tokens()
DEFAULT_TOKEN: Final = "pm_card_visa"  # noqa: S105 - a documented test name
"""What a confirmation without any payment method uses: a convenience of this simulator."""


def find_method(token: str) -> SimulatedMethod | None:
    """The test payment method that a ``pm_card_…``, ``tok_…`` or ``pm_usBankAccount_…`` token stands for."""
    return _TOKENS.get(token)
