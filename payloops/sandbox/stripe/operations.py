"""The PaymentIntents, Refunds and Charges endpoints: parameters in, objects out."""

from __future__ import annotations

from typing import Final

from payloops.sandbox.engine import Work
from payloops.sandbox.parameters import Parameters
from payloops.sandbox.shell import Call
from payloops.sandbox.store import StoredDocument
from payloops.sandbox.stripe import cards, objects, payments
from payloops.sandbox.stripe.errors import invalid, malformed, missing, no_such, unexpected_state
from payloops.sandbox.stripe.events import emit
from payloops.sandbox.stripe.listing import LIST_PARAMETERS, check_known, list_reply, object_reply, page_of
from payloops.sandbox.stripe.payments import CHARGE, INTENT, METHOD, Confirmation
from payloops.sandbox.stripe.refunds import REFUND, refund_charge
from payloops.sandbox.wire import Document, Reply
from payloops.values import currency_code

METADATA_KEYS_MAX: Final = 50
METADATA_KEY_LENGTH_MAX: Final = 40
METADATA_VALUE_LENGTH_MAX: Final = 500

_PLAIN_FIELDS: Final = (
    "description",
    "receipt_email",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
    "customer",
)
_CAPTURE_METHODS: Final = ("automatic", "automatic_async", "manual")
_CONFIRM_PARAMETERS: Final = (
    "allowed_payment_method_types", "amount_details", "amount_to_confirm", "capture_method", "client_secret",
    "confirmation_token", "error_on_requires_action", "excluded_payment_method_types", "expand", "hooks", "mandate",
    "mandate_data", "off_session", "payment_details", "payment_method", "payment_method_data",
    "payment_method_options", "radar_options", "receipt_email", "return_url", "setup_future_usage", "shipping",
    "use_stripe_sdk",
)  # fmt: skip
_CREATE_PARAMETERS: Final = (
    *_CONFIRM_PARAMETERS, "amount", "application_fee_amount", "automatic_payment_methods", "confirm",
    "confirmation_method", "currency", "customer", "customer_account", "description", "metadata", "on_behalf_of",
    "payment_method_configuration", "payment_method_types", "statement_descriptor", "statement_descriptor_suffix",
    "transfer_data", "transfer_group",
)  # fmt: skip
_UPDATE_PARAMETERS: Final = (
    "amount", "capture_method", "currency", "customer", "description", "expand", "metadata", "payment_method",
    "payment_method_data", "payment_method_options", "payment_method_types", "receipt_email", "setup_future_usage",
    "shipping", "statement_descriptor", "statement_descriptor_suffix", "transfer_group",
)  # fmt: skip
_CAPTURE_PARAMETERS: Final = (
    "amount_details", "amount_to_capture", "application_fee_amount", "expand", "final_capture", "hooks", "metadata",
    "payment_details", "statement_descriptor", "statement_descriptor_suffix", "transfer_data",
)  # fmt: skip
_CANCELLATION_REASONS: Final = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
_REFUND_PARAMETERS: Final = (
    "amount", "charge", "currency", "customer", "expand", "instructions_email", "metadata", "origin",
    "payment_intent", "reason", "refund_application_fee", "reverse_transfer",
)  # fmt: skip


def parameters_of(call: Call) -> Parameters:
    """The call's parameters, complaining in Stripe's words."""
    return Parameters(call.values, malformed)


def metadata_of(parameters: Parameters) -> dict[str, str]:
    """``metadata`` within Stripe's limits; absent is empty."""
    given = parameters.mapping("metadata") or {}
    if len(given) > METADATA_KEYS_MAX:
        raise malformed("metadata", f"holds more than {METADATA_KEYS_MAX} keys")
    for name, value in given.items():
        if len(name) > METADATA_KEY_LENGTH_MAX:
            raise malformed("metadata", f"keys must be at most {METADATA_KEY_LENGTH_MAX} characters")
        if not isinstance(value, str) or len(value) > METADATA_VALUE_LENGTH_MAX:
            raise malformed(f"metadata[{name}]", f"must be a string of at most {METADATA_VALUE_LENGTH_MAX} characters")
    return given


# ------------------------------------------------------------------------------------------------- payment intents
def create_intent(work: Work, call: Call) -> Reply:
    """``POST /v1/payment_intents``, with ``confirm`` too."""
    parameters = parameters_of(call)
    check_known(parameters, _CREATE_PARAMETERS)
    amount = parameters.integer("amount", low=1)
    if amount is None:
        raise missing("amount")
    given: Document = {name: parameters.text(name) for name in _PLAIN_FIELDS}
    given["metadata"] = payments.merged_metadata({}, metadata_of(parameters))
    given["capture_method"] = parameters.choice("capture_method", _CAPTURE_METHODS) or "automatic_async"
    given["confirmation_method"] = parameters.choice("confirmation_method", ("automatic", "manual")) or "automatic"
    given["payment_method_types"] = parameters.texts("payment_method_types") or ["card"]
    given["shipping"] = parameters.mapping("shipping")
    given["automatic_payment_methods"] = _automatic_methods(parameters)
    body = objects.new_payment_intent(amount=amount, currency=_currency(parameters), now_s=work.now_s, **given)
    method = _method(work, parameters)
    if method is not None:
        body |= {"payment_method": method.id, "status": "requires_confirmation"}
    hidden = {"idempotency_key": work.idempotency_key}
    intent = work.add(INTENT, body, hidden=hidden, labels=body["metadata"])
    emit(work, "payment_intent.created", body)
    if not parameters.boolean("confirm"):
        return object_reply(work, parameters, body)
    return _confirm(work, parameters, intent, method)


def _currency(parameters: Parameters) -> str:
    given = parameters.text("currency")
    if given is None:
        raise missing("currency")
    code = currency_code(given)
    if code is None:
        raise malformed("currency", f"{given} is not a currency")
    return code.lower()


def _automatic_methods(parameters: Parameters) -> Document | None:
    if "automatic_payment_methods" not in parameters:
        return None
    given = parameters.nested("automatic_payment_methods")
    if not given.boolean("enabled"):
        return None
    redirects = given.choice("allow_redirects", ("always", "never")) or "always"
    if redirects == "always" and parameters.boolean("confirm") and not parameters.text("return_url"):
        message = (
            "A PaymentIntent that accepts payment methods with redirects needs a return_url to be confirmed; "
            "or set automatic_payment_methods[allow_redirects] to never."
        )
        raise invalid(message, param="return_url")
    return {"allow_redirects": redirects, "enabled": True}


def _method(work: Work, parameters: Parameters) -> StoredDocument | None:
    """The payment method that a request names: stored, a test token, or made from ``payment_method_data``."""
    card = parameters.nested("payment_method_data").nested("card")
    if "number" in card:
        raise payments.refuse_raw_card()
    token, name = card.text("token"), parameters.text("payment_method")
    if token is not None:
        return method_of_token(work, token, "payment_method_data[card][token]")
    return None if name is None else method_named(work, name)


def method_named(work: Work, name: str) -> StoredDocument:
    """A stored PaymentMethod by id, or a new one of a ``pm_…`` test name.

    :raises Refusal: there is no such PaymentMethod; a ``tok_…`` is none.
    """
    simulated = cards.find_method(name) if name.startswith("pm_") else None
    if simulated is not None:
        return payments.new_method(work, simulated)
    stored = work.find(METHOD, name)
    if stored is None:
        raise no_such("PaymentMethod", name, "payment_method")
    return stored


def method_of_token(work: Work, token: str, param: str) -> StoredDocument:
    """A new PaymentMethod of a ``tok_…`` test token.

    :raises Refusal: there is no such token.
    """
    simulated = cards.find_method(token) if token.startswith("tok_") else None
    if simulated is None:
        raise no_such("token", token, param)
    return payments.new_method(work, simulated)


def _confirm(work: Work, parameters: Parameters, intent: StoredDocument, method: StoredDocument | None) -> Reply:
    how = Confirmation(
        return_url=parameters.text("return_url"),
        use_stripe_sdk=bool(parameters.boolean("use_stripe_sdk")),
        off_session=parameters.raw("off_session") not in {None, "", "false", False},
        error_on_requires_action=bool(parameters.boolean("error_on_requires_action")),
    )
    if method is None:
        method = method_named(work, intent.body["payment_method"] or cards.DEFAULT_TOKEN)
    reply = payments.confirm(work, intent, method, how)
    return reply if reply.status != 200 else object_reply(work, parameters, intent.body)  # noqa: PLR2004 - HTTP's own


def _intent(work: Work, call: Call) -> StoredDocument:
    intent = work.find(INTENT, call.path["id"])
    if intent is None:
        raise no_such(INTENT, call.path["id"], "intent")
    return intent


def confirm_intent(work: Work, call: Call) -> Reply:
    """``POST /v1/payment_intents/:id/confirm``."""
    parameters = parameters_of(call)
    check_known(parameters, _CONFIRM_PARAMETERS)
    intent = _intent(work, call)
    capture_method = parameters.choice("capture_method", _CAPTURE_METHODS)
    if capture_method is not None:
        intent.body["capture_method"] = capture_method
    return _confirm(work, parameters, intent, _method(work, parameters))


def capture_intent(work: Work, call: Call) -> Reply:
    """``POST /v1/payment_intents/:id/capture``."""
    parameters = parameters_of(call)
    check_known(parameters, _CAPTURE_PARAMETERS)
    amount = parameters.integer("amount_to_capture", low=1)
    changes = metadata_of(parameters)
    intent = _intent(work, call)
    payments.capture(work, intent, amount)
    if changes:
        _relabel(work, intent, changes)
    return object_reply(work, parameters, intent.body)


def cancel_intent(work: Work, call: Call) -> Reply:
    """``POST /v1/payment_intents/:id/cancel``."""
    parameters = parameters_of(call)
    check_known(parameters, ("cancellation_reason", "expand"))
    reason = parameters.choice("cancellation_reason", _CANCELLATION_REASONS)
    intent = _intent(work, call)
    payments.cancel(work, intent, reason)
    return object_reply(work, parameters, intent.body)


def update_intent(work: Work, call: Call) -> Reply:
    """``POST /v1/payment_intents/:id``; money and method only before it is confirmed."""
    parameters = parameters_of(call)
    check_known(parameters, _UPDATE_PARAMETERS)
    amount = parameters.integer("amount", low=1)
    intent = _intent(work, call)
    open_states = ("requires_payment_method", "requires_confirmation", "requires_action")
    if any(name in parameters for name in ("amount", "currency", "payment_method", "payment_method_data")):
        if intent.body["status"] not in open_states:
            raise unexpected_state(intent.body, "changed", ", ".join(open_states))
        if amount is not None:
            intent.body["amount"] = amount
        if "currency" in parameters:
            intent.body["currency"] = _currency(parameters)
        method = _method(work, parameters)
        if method is not None:
            intent.body |= {"payment_method": method.id, "status": "requires_confirmation"}
    intent.body |= {name: parameters.text(name) for name in _PLAIN_FIELDS if name in parameters}
    _relabel(work, intent, metadata_of(parameters))
    return object_reply(work, parameters, intent.body)


def _relabel(work: Work, intent: StoredDocument, changes: dict[str, str]) -> None:
    intent.body["metadata"] = payments.merged_metadata(intent.body["metadata"], changes)
    work.save(intent)
    work.relabel(intent, intent.body["metadata"])


def retrieve_intent(work: Work, call: Call) -> Reply:
    """``GET /v1/payment_intents/:id``."""
    parameters = parameters_of(call)
    check_known(parameters, ("client_secret", "expand"))
    return object_reply(work, parameters, _intent(work, call).body)


def list_intents(work: Work, call: Call) -> Reply:
    """``GET /v1/payment_intents``."""
    parameters = parameters_of(call)
    check_known(parameters, (*LIST_PARAMETERS, "customer"))
    page = page_of(work, parameters, INTENT)
    found = work.documents(INTENT, page)
    return list_reply(work, parameters, "/v1/payment_intents", page, found)


# --------------------------------------------------------------------------------------------------------- charges
def retrieve_charge(work: Work, call: Call) -> Reply:
    """``GET /v1/charges/:id``."""
    parameters = parameters_of(call)
    check_known(parameters, ("expand",))
    charge = work.find(CHARGE, call.path["id"])
    if charge is None:
        raise no_such(CHARGE, call.path["id"], "id")
    return object_reply(work, parameters, charge.body)


def list_charges(work: Work, call: Call) -> Reply:
    """``GET /v1/charges``, of one payment too."""
    parameters = parameters_of(call)
    check_known(parameters, (*LIST_PARAMETERS, "payment_intent", "customer", "transfer_group"))
    page = page_of(work, parameters, CHARGE)
    found = work.documents(CHARGE, page, parent=parameters.text("payment_intent"))
    return list_reply(work, parameters, "/v1/charges", page, found)


# --------------------------------------------------------------------------------------------------------- refunds
def create_refund(work: Work, call: Call) -> Reply:
    """``POST /v1/refunds`` of a payment or a charge."""
    parameters = parameters_of(call)
    check_known(parameters, _REFUND_PARAMETERS)
    amount = parameters.integer("amount", low=1)
    reason = parameters.choice("reason", ("duplicate", "fraudulent", "requested_by_customer"))
    charge = _charge_to_refund(work, parameters)
    metadata = payments.merged_metadata({}, metadata_of(parameters))
    refund = refund_charge(work, charge, amount, reason=reason, metadata=metadata)
    return object_reply(work, parameters, refund.body)


def _charge_to_refund(work: Work, parameters: Parameters) -> StoredDocument:
    charge_id, intent_id = parameters.text("charge"), parameters.text("payment_intent")
    if intent_id is not None:
        intent = work.find(INTENT, intent_id)
        if intent is None:
            raise no_such(INTENT, intent_id, "payment_intent")
        if intent.body["latest_charge"] is None:
            message = f"This PaymentIntent ({intent_id}) does not have a successful charge to refund."
            raise invalid(message, param="payment_intent", code="charge_not_refundable", executed=True)
        return payments.charge_of(work, intent)
    if charge_id is None:
        raise invalid("One of these parameters is required: charge, payment_intent.", code="parameter_missing")
    charge = work.find(CHARGE, charge_id)
    if charge is None:
        raise no_such(CHARGE, charge_id, "charge")
    return charge


def _refund(work: Work, call: Call) -> StoredDocument:
    refund = work.find(REFUND, call.path["id"])
    if refund is None:
        raise no_such(REFUND, call.path["id"], "refund")
    return refund


def retrieve_refund(work: Work, call: Call) -> Reply:
    """``GET /v1/refunds/:id``."""
    parameters = parameters_of(call)
    check_known(parameters, ("expand",))
    return object_reply(work, parameters, _refund(work, call).body)


def list_refunds(work: Work, call: Call) -> Reply:
    """``GET /v1/refunds``, of one payment or charge too."""
    parameters = parameters_of(call)
    check_known(parameters, (*LIST_PARAMETERS, "payment_intent", "charge"))
    page = page_of(work, parameters, REFUND)
    parent = parameters.text("payment_intent")
    charge_id = parameters.text("charge")
    if charge_id is not None:
        # A payment has one charge that took money, so the charge's refunds are its payment's.
        charge = work.find(CHARGE, charge_id)
        if charge is None:
            raise no_such(CHARGE, charge_id, "charge")
        parent = charge.body["payment_intent"]
    found = work.documents(REFUND, page, parent=parent)
    return list_reply(work, parameters, "/v1/refunds", page, found)


def update_refund(work: Work, call: Call) -> Reply:
    """``POST /v1/refunds/:id``: its metadata."""
    parameters = parameters_of(call)
    check_known(parameters, ("expand", "metadata"))
    changes = metadata_of(parameters)
    refund = _refund(work, call)
    refund.body["metadata"] = payments.merged_metadata(refund.body["metadata"], changes)
    work.save(refund)
    emit(work, "charge.refund.updated", refund.body)
    emit(work, "refund.updated", refund.body)
    return object_reply(work, parameters, refund.body)


def cancel_refund(work: Work, call: Call) -> Reply:
    """``POST /v1/refunds/:id/cancel``: only for refunds that wait for the customer, which a card's never does."""
    refund = _refund(work, call)
    message = f"This refund can't be canceled: its status is {refund.body['status']}, not requires_action."
    raise invalid(message, param="refund", executed=True)
