"""Stripe's objects as new: every field that the API publishes for a plain card payment."""

from __future__ import annotations

from typing import Any, Final

from payloops.sandbox.ids import secret_text, stripe_id
from payloops.sandbox.stripe.cards import SimulatedMethod
from payloops.sandbox.wire import Document

API_VERSION: Final = "2026-10-28.endive"
"""The API version of events, and of answers to requests that name none."""
_EXPIRY_YEAR: Final = 2034
_CARD_CHECKS: Final = {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"}
_NO_ADDRESS: Final = {
    "city": None,
    "country": None,
    "line1": None,
    "line2": None,
    "postal_code": None,
    "state": None,
}
_EVIDENCE_DUE_S: Final = 9 * 24 * 3600


def _billing_details() -> Document:
    return {"address": dict(_NO_ADDRESS), "email": None, "name": None, "phone": None, "tax_id": None}


def new_payment_method(method: SimulatedMethod, now_s: int) -> Document:
    """A PaymentMethod made from a test token."""
    body: Document = {
        "id": stripe_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": _billing_details(),
        "created": now_s,
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": method.method_type,
    }
    if method.method_type == "card":
        body["card"] = {
            "brand": method.brand,
            "checks": dict(_CARD_CHECKS),
            "country": method.country,
            "display_brand": method.brand,
            "exp_month": 12,
            "exp_year": _EXPIRY_YEAR,
            "fingerprint": f"sandbox{method.brand}{method.last4}",
            "funding": method.funding,
            "generated_from": None,
            "last4": method.last4,
            "networks": {"available": [method.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        }
    else:
        body["us_bank_account"] = {
            "account_holder_type": "individual",
            "account_type": "checking",
            "bank_name": "STRIPE TEST BANK",
            "last4": method.last4,
            "routing_number": "110000000",
        }
    return body


def new_payment_intent(*, amount: int, currency: str, now_s: int, **given: Any) -> Document:
    """A PaymentIntent before anything happened to it; ``given`` are fields that the request sets."""
    intent_id = stripe_id("pi")
    body: Document = {
        "id": intent_id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{intent_id}_secret_{secret_text(25)}",
        "confirmation_method": "automatic",
        "created": now_s,
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }
    return body | given


def new_charge(intent: Document, method_body: Document, now_s: int) -> Document:
    """A Charge of a PaymentIntent's whole amount, not yet decided."""
    method_type = method_body["type"]
    details = dict(method_body[method_type])
    if method_type == "card":
        details |= {"network": details["brand"], "three_d_secure": None, "amount_authorized": intent["amount"]}
        details |= {"authorization_code": secret_text(6).upper(), "network_transaction_id": secret_text(15)}
    charge_id = stripe_id("ch")
    return {
        "id": charge_id,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": _billing_details(),
        "calculated_statement_descriptor": "PAYLOOPS SANDBOX",
        "captured": False,
        "created": now_s,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "outcome": None,
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method_body["id"],
        "payment_method_details": {method_type: details, "type": method_type},
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "pending",
        "transfer_data": None,
        "transfer_group": None,
    }


def approved_outcome() -> Document:
    """A charge's ``outcome`` when the issuer said yes."""
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": "Payment complete.",
        "type": "authorized",
    }


def declined_outcome(reason: str) -> Document:
    """A charge's ``outcome`` when the issuer said no."""
    return approved_outcome() | {
        "advice_code": "try_again_later",
        "network_decline_code": "05",
        "network_status": "declined_by_network",
        "reason": reason,
        "seller_message": "The bank returned a decline.",
        "type": "issuer_declined",
    }


def new_refund(charge: Document, amount: int, now_s: int, *, reason: str | None, metadata: dict[str, str]) -> Document:
    """A Refund of a charge, successful until something else is known."""
    return {
        "id": stripe_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": now_s,
        "currency": charge["currency"],
        "destination_details": {
            "card": {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"},
            "type": "card",
        },
        "metadata": metadata,
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def new_dispute(charge: Document, now_s: int, *, reason: str) -> Document:
    """A Dispute of what a charge took and did not give back."""
    return {
        "id": stripe_id("du"),
        "object": "dispute",
        "amount": charge["amount_captured"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": now_s,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": now_s + _EVIDENCE_DUE_S,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": "chargeback", "network_reason_code": "10.4"},
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }


def new_webhook_endpoint(
    url: str, enabled_events: list[str], now_s: int, *, description: str | None, metadata: dict[str, str]
) -> Document:
    """A webhook endpoint without its secret, which only its creation shows."""
    return {
        "id": stripe_id("we"),
        "object": "webhook_endpoint",
        "api_version": None,
        "application": None,
        "created": now_s,
        "description": description,
        "enabled_events": enabled_events,
        "livemode": False,
        "metadata": metadata,
        "status": "enabled",
        "url": url,
    }
