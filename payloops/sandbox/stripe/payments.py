"""The life of a PaymentIntent: confirm, authenticate, charge, capture, cancel.

Statuses and events as in docs.stripe.com/payments/paymentintents/lifecycle. The functions change stored documents
inside one :class:`~payloops.sandbox.engine.Work`; the API's parameters are read elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from payloops.sandbox.engine import Work
from payloops.sandbox.ids import stripe_id
from payloops.sandbox.store import StoredDocument
from payloops.sandbox.stripe import cards, objects
from payloops.sandbox.stripe.cards import Decline, SimulatedMethod
from payloops.sandbox.stripe.errors import error_reply, invalid, unexpected_state
from payloops.sandbox.stripe.events import emit
from payloops.sandbox.wire import Document, Refusal, Reply, json_reply

INTENT: Final = "payment_intent"
METHOD: Final = "payment_method"
CHARGE: Final = "charge"

ACTION_DISPUTE: Final = "stripe.charge_disputed"
ACTION_SETTLE: Final = "stripe.payment_settles"
ACTION_SETTLE_FAILS: Final = "stripe.payment_settlement_fails"

_CONFIRMABLE: Final = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELLABLE: Final = (*_CONFIRMABLE, "requires_capture")
_AUTHENTICATION_FAILURE: Final = (
    "The provided PaymentMethod has failed authentication. Provide another payment method or a new confirmation."
)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How a client confirms."""

    return_url: str | None = None
    use_stripe_sdk: bool = False
    off_session: bool = False
    error_on_requires_action: bool = False


def new_method(work: Work, method: SimulatedMethod) -> StoredDocument:
    """A fresh PaymentMethod of a test token, as Stripe makes one on each use."""
    return work.add(METHOD, objects.new_payment_method(method, work.now_s), hidden={"token": method.name})


def simulated(method: StoredDocument) -> SimulatedMethod:
    """What the test payment method behind a stored one does."""
    found = cards.find_method(method.hidden["token"])
    if found is None:
        raise RuntimeError(f"unknown test payment method {method.hidden['token']}")
    return found


def confirm(work: Work, intent: StoredDocument, method: StoredDocument, how: Confirmation) -> Reply:
    """Confirm with a payment method: succeed, hold, ask for 3-D Secure, process, or decline (402).

    A decline is an answer, not an exception: the failed attempt is kept.
    """
    if intent.body["status"] not in _CONFIRMABLE:
        raise unexpected_state(intent.body, "confirmed", ", ".join(_CONFIRMABLE))
    card = simulated(method)
    intent.body |= {"payment_method": method.id, "last_payment_error": None, "next_action": None}
    if card.authentication:
        if how.off_session or how.error_on_requires_action:
            return _decline(work, intent, method, cards.AUTHENTICATION_REQUIRED)
        _ask_for_authentication(work, intent, how)
        return json_reply(200, intent.body)
    return charge(work, intent, method)


def _ask_for_authentication(work: Work, intent: StoredDocument, how: Confirmation) -> None:
    secret = intent.body["client_secret"]
    page = f"{work.page_url}/_sandbox/3ds/{intent.id}?{urlencode({'client_secret': secret})}"
    intent.hidden["return_url"] = how.return_url
    if how.return_url and not how.use_stripe_sdk:
        action: Document = {
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": how.return_url, "url": page},
        }
    else:
        action = {
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": page, "source": stripe_id("src")},
        }
    intent.body |= {"status": "requires_action", "next_action": action}
    work.save(intent)
    emit(work, "payment_intent.requires_action", intent.body)


def authenticate(work: Work, intent: StoredDocument, *, passed: bool) -> None:
    """The customer's answer to 3-D Secure.

    :raises Refusal: nothing is waiting for the customer.
    """
    if intent.body["status"] != "requires_action":
        raise unexpected_state(intent.body, "authenticated", "requires_action")
    intent.body["next_action"] = None
    method = work.find(METHOD, intent.body["payment_method"])
    if method is None:
        raise RuntimeError("the payment method of a stored intent is missing")
    if passed:
        charge(work, intent, method, authenticated=True)
        return
    intent.body |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "last_payment_error": {
            "code": "payment_intent_authentication_failure",
            "doc_url": "https://stripe.com/docs/error-codes/payment-intent-authentication-failure",
            "message": _AUTHENTICATION_FAILURE,
            "payment_method": method.body,
            "type": "invalid_request_error",
        },
    }
    work.save(intent)
    emit(work, "payment_intent.payment_failed", intent.body)


def charge(work: Work, intent: StoredDocument, method: StoredDocument, *, authenticated: bool = False) -> Reply:
    """Ask the issuer for the money."""
    card = simulated(method)
    if card.settles != "at_once":
        return _start_settling(work, intent, method, card)
    if card.decline is not None:
        return _decline(work, intent, method, card.decline)
    body = objects.new_charge(intent.body, method.body, work.now_s)
    if authenticated:
        body["payment_method_details"]["card"]["three_d_secure"] = {
            "authentication_flow": "challenge",
            "result": "authenticated",
            "result_reason": None,
            "version": "2.2.0",
        }
    stored = work.add(CHARGE, body, parent=intent.id)
    _approve(work, intent, stored, card)
    return json_reply(200, intent.body)


def _approve(work: Work, intent: StoredDocument, charged: StoredDocument, card: SimulatedMethod) -> None:
    held = intent.body["capture_method"] == "manual"
    amount = intent.body["amount"]
    charged.body |= {
        "status": "succeeded",
        "paid": True,
        "captured": not held,
        "amount_captured": 0 if held else amount,
        "outcome": objects.approved_outcome(),
    }
    intent.body |= {
        "status": "requires_capture" if held else "succeeded",
        "amount_capturable": amount if held else 0,
        "amount_received": 0 if held else amount,
        "latest_charge": charged.id,
        "processing": None,
    }
    work.save(charged)
    work.save(intent)
    emit(work, "charge.succeeded", charged.body)
    emit(work, "payment_intent.amount_capturable_updated" if held else "payment_intent.succeeded", intent.body)
    if card.dispute is not None and not held:
        work.later(ACTION_DISPUTE, charged.id)


def _decline(work: Work, intent: StoredDocument, method: StoredDocument, decline: Decline) -> Reply:
    body = objects.new_charge(intent.body, method.body, work.now_s)
    stored = work.add(CHARGE, body, parent=intent.id)
    return _fail(work, intent, method, stored, decline)


def _fail(
    work: Work, intent: StoredDocument, method: StoredDocument, charged: StoredDocument, decline: Decline
) -> Reply:
    reason = decline.decline_code or decline.code
    charged.body |= {
        "status": "failed",
        "failure_code": decline.code,
        "failure_message": decline.message,
        "outcome": objects.declined_outcome(reason),
    }
    failure = {"charge": charged.id, "code": decline.code, "message": decline.message, "type": "card_error"}
    if decline.decline_code is not None:
        failure["decline_code"] = decline.decline_code
    failure["doc_url"] = f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}"
    intent.body |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "latest_charge": charged.id,
        "last_payment_error": failure | {"payment_method": method.body},
        "processing": None,
    }
    work.save(charged)
    work.save(intent)
    emit(work, "charge.failed", charged.body)
    emit(work, "payment_intent.payment_failed", intent.body)
    return error_reply(
        402,
        "card_error",
        decline.message,
        code=decline.code,
        decline_code=decline.decline_code,
        charge=charged.id,
        payment_intent=intent.body,
        payment_method=method.body,
    )


def _start_settling(work: Work, intent: StoredDocument, method: StoredDocument, card: SimulatedMethod) -> Reply:
    stored = work.add(CHARGE, objects.new_charge(intent.body, method.body, work.now_s), parent=intent.id)
    intent.body |= {"status": "processing", "latest_charge": stored.id}
    work.save(intent)
    emit(work, "charge.pending", stored.body)
    emit(work, "payment_intent.processing", intent.body)
    work.later(ACTION_SETTLE if card.settles == "later" else ACTION_SETTLE_FAILS, stored.id)
    return json_reply(200, intent.body)


def settle(work: Work, charge_id: str, *, fails: bool) -> None:
    """The bank's answer to a debit that was processing."""
    charged = work.find(CHARGE, charge_id)
    intent = work.find(INTENT, charged.body["payment_intent"]) if charged else None
    if charged is None or intent is None or intent.body["status"] != "processing":
        return
    method = work.find(METHOD, charged.body["payment_method"])
    if method is None:
        raise RuntimeError("the payment method of a stored charge is missing")
    card = simulated(method)
    if fails and card.decline is not None:
        _fail(work, intent, method, charged, card.decline)
    else:
        _approve(work, intent, charged, card)


def charge_of(work: Work, intent: StoredDocument) -> StoredDocument:
    """The charge that holds or took a PaymentIntent's money."""
    found = work.find(CHARGE, intent.body["latest_charge"] or "")
    if found is None:
        raise RuntimeError("the charge of a stored intent is missing")
    return found


def capture(work: Work, intent: StoredDocument, amount: int | None) -> None:
    """Take what is held, or a part of it; the rest is released.

    :raises Refusal: nothing is held, or less than ``amount``.
    """
    if intent.body["status"] != "requires_capture":
        raise unexpected_state(intent.body, "captured", "requires_capture")
    held = intent.body["amount_capturable"]
    amount = held if amount is None else amount
    if amount > held:
        raise invalid(
            f"The amount to capture ({amount}) is greater than the amount that is held ({held}).",
            param="amount_to_capture",
            code="amount_too_large",
            executed=True,
        )
    charged = charge_of(work, intent)
    charged.body |= {"captured": True, "amount_captured": amount}
    intent.body |= {"status": "succeeded", "amount_capturable": 0, "amount_received": amount}
    work.save(intent)
    emit(work, "charge.captured", charged.body, {"captured": False, "amount_captured": 0})
    if amount < held:
        # Stripe returns the released part through the same field as refunds: amount_refunded starts at it.
        charged.body["amount_refunded"] = held - amount
        emit(work, "charge.refunded", charged.body, {"amount_refunded": 0})
    work.save(charged)
    emit(work, "payment_intent.succeeded", intent.body)
    card = cards.find_method(_token_of(work, charged))
    if card is not None and card.dispute is not None:
        work.later(ACTION_DISPUTE, charged.id)


def _token_of(work: Work, charged: StoredDocument) -> str:
    method = work.find(METHOD, charged.body["payment_method"])
    return str(method.hidden["token"]) if method else ""


def cancel(work: Work, intent: StoredDocument, reason: str | None) -> None:
    """Give up; what is held is released.

    :raises Refusal: it is too late.
    """
    status = intent.body["status"]
    if status not in _CANCELLABLE:
        raise unexpected_state(intent.body, "canceled", ", ".join(_CANCELLABLE))
    intent.body |= {
        "status": "canceled",
        "amount_capturable": 0,
        "canceled_at": work.now_s,
        "cancellation_reason": reason,
        "next_action": None,
    }
    work.save(intent)
    if status == "requires_capture":
        charged = charge_of(work, intent)
        charged.body |= {"refunded": True, "amount_refunded": charged.body["amount"]}
        work.save(charged)
        emit(work, "charge.refunded", charged.body, {"refunded": False, "amount_refunded": 0})
    emit(work, "payment_intent.canceled", intent.body)


def merged_metadata(old: dict[str, str], changes: dict[str, str]) -> dict[str, str]:
    """``metadata`` after an update: empty values remove their key."""
    return {name: value for name, value in (old | changes).items() if value != ""}


def refuse_raw_card() -> Refusal:
    """A raw card number instead of a token: refused as Stripe does for accounts without that permission."""
    return invalid(
        "Raw card numbers are not accepted: send a payment method or a token.",
        param="payment_method_data[card][number]",
        status=402,
    )
