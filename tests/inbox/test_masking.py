"""Events in the shapes in which Stripe and Razorpay send them: what may be shown of them names no customer.

Whatever a person could be known by has a canary in it, by which it is found wherever it comes through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payloops.http.webhooks.masking import ITEMS_MAX, masked_body
from payloops.telemetry.redaction import MASK

ORDER: Final = "0190a5b0-0000-7000-8000-00000000000a"
MERCHANT: Final = "0190a5b0-0000-7000-8000-00000000000b"
JANE: Final = "canary"
ADDRESS: Final = {
    "city": f"{JANE} town",
    "country": "GB",
    "line1": f"1 {JANE} street",
    "line2": f"flat {JANE}",
    "postal_code": f"{JANE} 1AA",
    "state": None,
}
BILLING: Final = {"address": ADDRESS, "email": f"{JANE}@x.example", "name": f"Jane {JANE}", "phone": f"+44 {JANE}"}
SHIPPING: Final = {
    "address": ADDRESS,
    "carrier": "post",
    "name": f"Jane {JANE}",
    "phone": f"+44 {JANE}",
    "tracking_number": f"RR{JANE}",
}
METADATA: Final = {
    "order_id": ORDER,
    "merchant_id": MERCHANT,
    "attempt": "1",
    "customer": f"Jane {JANE}",
    "gift_note": f"for {JANE}",
}
CARD: Final = {
    "brand": "visa",
    "checks": {"address_line1_check": "pass", "address_postal_code_check": None, "cvc_check": "pass"},
    "country": "US",
    "exp_month": 8,
    "exp_year": 2030,
    "fingerprint": f"fp{JANE}",
    "funding": "credit",
    "last4": "4242",
    "network": "visa",
    "three_d_secure": None,
    "wallet": {"type": "apple_pay", "dynamic_last4": "4242"},
}

CHARGE: Final = {
    "id": "ch_3Nabc",
    "object": "charge",
    "amount": 1000,
    "amount_captured": 1000,
    "amount_refunded": 300,
    "billing_details": BILLING,
    "calculated_statement_descriptor": f"{JANE.upper()} SHOP",
    "captured": True,
    "currency": "usd",
    "customer": "cus_Nabc",
    "description": f"Order of Jane {JANE}",
    "fraud_details": {},
    "metadata": METADATA,
    "outcome": {"network_status": "approved_by_network", "risk_level": "normal", "type": "authorized"},
    "payment_intent": "pi_3Nabc",
    "payment_method_details": {"card": CARD, "type": "card"},
    "receipt_email": f"{JANE}@x.example",
    "receipt_number": "1234-5678",
    "receipt_url": f"https://pay.stripe.com/receipts/{JANE}",
    "refunds": {"object": "list", "data": [], "has_more": False, "url": "/v1/charges/ch_3Nabc/refunds"},
    "shipping": SHIPPING,
    "status": "succeeded",
}
INTENT: Final = {
    "id": "pi_3Nabc",
    "object": "payment_intent",
    "amount": 1000,
    "amount_received": 0,
    "client_secret": f"pi_3Nabc_secret_{JANE}",
    "currency": "usd",
    "customer": "cus_Nabc",
    "description": f"{JANE}",
    "last_payment_error": {
        "charge": "ch_3Nabc",
        "code": "card_declined",
        "decline_code": "insufficient_funds",
        "message": "Your card has insufficient funds.",
        "payment_method": {"id": "pm_1", "billing_details": BILLING, "card": CARD, "type": "card"},
        "type": "card_error",
    },
    "latest_charge": "ch_3Nabc",
    "metadata": METADATA,
    "next_action": {
        "type": "redirect_to_url",
        "redirect_to_url": {
            "return_url": f"https://shop.example/r?who={JANE}",
            "url": f"https://hooks.stripe.com/redirect/authenticate/src_1?client_secret={JANE}",
        },
    },
    "receipt_email": f"{JANE}@x.example",
    "shipping": SHIPPING,
    "status": "requires_action",
}
DISPUTE: Final = {
    "id": "du_1Nabc",
    "object": "dispute",
    "amount": 1000,
    "charge": "ch_3Nabc",
    "currency": "usd",
    "evidence": {
        "access_activity_log": JANE,
        "billing_address": f"1 {JANE} street",
        "customer_communication": f"file_{JANE}",
        "customer_email_address": f"{JANE}@x.example",
        "customer_name": f"Jane {JANE}",
        "customer_purchase_ip": f"::{JANE}",
        "customer_signature": f"file_{JANE}",
        "product_description": None,
        "shipping_address": f"1 {JANE} street",
    },
    "evidence_details": {"due_by": 1_700_000_000, "has_evidence": False, "submission_count": 0},
    "metadata": METADATA,
    "payment_intent": "pi_3Nabc",
    "payment_method_details": {
        "type": "paypal",
        "paypal": {"payer_email": f"{JANE}@x.example", "payer_id": JANE, "payer_name": f"Jane {JANE}", "case_id": "c1"},
    },
    "reason": "fraudulent",
    "status": "needs_response",
}
SESSION: Final = {
    "id": "cs_test_1",
    "object": "checkout.session",
    "amount_total": 1000,
    "customer_details": {**BILLING, "tax_ids": [{"type": "eu_vat", "value": f"DE{JANE}"}]},
    "customer_email": f"{JANE}@x.example",
    "shipping_details": SHIPPING,
    "url": f"https://checkout.stripe.com/c/pay/cs_test_1#{JANE}",
}
BANK_DEBIT: Final = {
    "id": "pm_2",
    "object": "payment_method",
    "billing_details": BILLING,
    "sepa_debit": {"bank_code": "370", "country": "DE", "fingerprint": f"fp{JANE}", "last4": "3000"},
    "us_bank_account": {"account_holder_type": JANE, "bank_name": f"{JANE} bank", "routing_number": "110000000"},
}

PAYMENT: Final = {
    "id": "pay_Nabc",
    "entity": "payment",
    "amount": 1000,
    "currency": "INR",
    "status": "captured",
    "order_id": "order_Nabc",
    "method": "upi",
    "amount_refunded": 0,
    "captured": True,
    "description": f"for Jane {JANE}",
    "card_id": None,
    "card": {
        "id": "card_1",
        "entity": "card",
        "name": f"Jane {JANE}",
        "last4": "1111",
        "network": "Visa",
        "type": "debit",
        "issuer": None,
        "international": False,
    },
    "bank": None,
    "wallet": None,
    "vpa": f"{JANE}@okaxis",
    "email": f"{JANE}@x.example",
    "contact": f"+91{JANE}",
    "customer_id": "cust_1",
    "notes": {"order_id": ORDER, "merchant_id": MERCHANT, "attempt": "1", "address": f"{JANE} road", "Name": JANE},
    "fee": 24,
    "tax": 4,
    "error_code": None,
    "acquirer_data": {"rrn": f"2{JANE}", "upi_transaction_id": f"T{JANE}", "auth_code": JANE},
    "upi": {"payer_account_type": JANE, "vpa": f"{JANE}@okaxis", "flow": "intent"},
    "bank_account": {"ifsc": "SBIN0000001", "name": f"Jane {JANE}", "account_number": f"1{JANE}"},
    "token": {"id": "token_1", "customer": {"name": JANE, "email": f"{JANE}@x", "contact": f"9{JANE}"}},
}
RAZORPAY_REFUND: Final = {
    "id": "rfnd_1",
    "entity": "refund",
    "amount": 300,
    "payment_id": "pay_Nabc",
    "notes": {"refund_id": ORDER, "reason": f"{JANE} did not like it", "comment": f"ask {JANE}"},
    "receipt": None,
    "acquirer_data": {"arn": f"A{JANE}"},
    "status": "processed",
}
RAZORPAY_ORDER: Final = {"id": "order_Nabc", "amount": 1000, "amount_paid": 1000, "notes": [], "receipt": ORDER}
RAZORPAY_DISPUTE: Final = {
    "id": "disp_1",
    "entity": "dispute",
    "payment_id": "pay_Nabc",
    "reason_code": "chargeback_fraud",
    "evidence": {"billing_proof": [f"doc_{JANE}"], "customer_communication": [f"doc_{JANE}"], "summary": JANE},
    "status": "open",
}


def of_stripe(event_type: str, thing: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    data = {"object": thing, **more}
    return {"id": "evt_1", "object": "event", "type": event_type, "livemode": False, "data": data, "request": None}


def of_razorpay(event_type: str, **entities: Mapping[str, Any]) -> dict[str, Any]:
    payload = {name: {"entity": entity} for name, entity in entities.items()}
    return {"entity": "event", "event": event_type, "contains": list(entities), "payload": payload}


EVENTS: Final = {
    "charge": of_stripe("charge.refunded", CHARGE, previous_attributes={"receipt_email": f"{JANE}@x", "amount": 1}),
    "intent": of_stripe("payment_intent.payment_failed", INTENT),
    "expanded intent": of_stripe("payment_intent.succeeded", {**INTENT, "latest_charge": CHARGE}),
    "dispute": of_stripe("charge.dispute.created", {**DISPUTE, "charge": CHARGE}),
    "session": of_stripe("checkout.session.completed", SESSION),
    "bank debit": of_stripe("payment_method.attached", BANK_DEBIT),
    "razorpay payment": of_razorpay("payment.captured", payment=PAYMENT),
    "razorpay refund": of_razorpay("refund.processed", refund=RAZORPAY_REFUND, payment=PAYMENT),
    "razorpay order": of_razorpay("order.paid", payment=PAYMENT, order=RAZORPAY_ORDER),
    "razorpay dispute": of_razorpay("payment.dispute.created", dispute=RAZORPAY_DISPUTE, payment=PAYMENT),
}


def shown(event: Mapping[str, Any]) -> Any:
    return masked_body(orjson.dumps(event).decode())


def leaks(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaks(name, f"{path}.{name} (the name)")
            yield from leaks(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaks(inner, f"{path}[{place}]")
    elif JANE in str(value).lower():
        yield path


@pytest.mark.parametrize("name", EVENTS)
def test_nothing_tells_who_the_customer_is(name: str) -> None:
    assert list(leaks(EVENTS[name])), "the event has nobody in it"
    assert list(leaks(shown(EVENTS[name]))) == []


def test_what_a_question_is_answered_by_stays() -> None:
    charge = shown(EVENTS["charge"])["data"]["object"]
    kept = ("id", "amount", "amount_captured", "amount_refunded", "currency", "payment_intent", "status", "outcome")
    assert {name: charge[name] for name in kept} == {name: CHARGE[name] for name in kept}
    card = charge["payment_method_details"]["card"]
    assert (card["brand"], card["last4"], card["exp_month"], card["exp_year"]) == ("visa", "4242", 8, 2030)
    assert charge["metadata"] == {
        "order_id": ORDER,
        "merchant_id": MERCHANT,
        "attempt": "1",
        "customer": MASK,
        "gift_note": MASK,
    }
    error = shown(EVENTS["intent"])["data"]["object"]["last_payment_error"]
    assert (error["code"], error["decline_code"]) == ("card_declined", "insufficient_funds")
    assert error["message"] == "Your card has insufficient funds."


def test_what_a_question_is_answered_by_stays_of_razorpay_too() -> None:
    told = shown(EVENTS["razorpay order"])
    payment = told["payload"]["payment"]["entity"]
    kept = ("id", "amount", "currency", "status", "order_id", "method", "captured", "fee", "tax", "customer_id")
    assert {name: payment[name] for name in kept} == {name: PAYMENT[name] for name in kept}
    assert (payment["card"]["last4"], payment["card"]["network"]) == ("1111", "Visa")
    assert payment["notes"]["order_id"] == ORDER
    assert told["payload"]["order"]["entity"] == RAZORPAY_ORDER
    assert shown(EVENTS["razorpay refund"])["payload"]["refund"]["entity"]["notes"]["refund_id"] == ORDER


names = st.sampled_from(
    ("metadata", "notes", "email", "name", "url", "card", "client_secret", "order_id", "a")
) | st.text(max_size=5)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=12) | st.just(f"{JANE}@x.example"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5),
    max_leaves=30,
)


@given(document=anything)
def test_any_json_is_masked_and_keeps_its_shape(document: Any) -> None:
    masked = shown(document)
    assert f"{JANE}@x.example" not in str(masked)
    assert type(masked) is type(document)
    if isinstance(document, list):
        assert len(masked) == len(document)


def test_labels_that_are_no_labels() -> None:
    assert shown({"metadata": [JANE], "notes": JANE, "a": {"notes": {}, "metadata": None}}) == {
        "metadata": MASK,
        "notes": MASK,
        "a": {"notes": {}, "metadata": None},
    }


def test_secrets_and_cards_in_any_text() -> None:
    found = shown({"a": "4242 4242 4242 4242 of jane@x.example", "b": {"client_secret": "pi_1_secret_x"}})
    assert found == {"a": "[card] of [email]", "b": {"client_secret": MASK}}


def test_an_erased_body_and_one_without_end() -> None:
    assert masked_body(None) is None
    assert "…" in str(masked_body("[" * 40 + "]" * 40))
    assert shown({"a": list(range(ITEMS_MAX + 5))})["a"][-1] == "…"
