"""The other endpoints: payment methods, events, disputes, webhook endpoints, balance and account."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from payloops.sandbox.engine import ENDPOINT, EVENT, Work
from payloops.sandbox.ids import account_number, secret_text
from payloops.sandbox.manners import Manners
from payloops.sandbox.parameters import Parameters
from payloops.sandbox.shell import Call
from payloops.sandbox.store import Page, StoredDocument
from payloops.sandbox.stripe import objects, payments
from payloops.sandbox.stripe.errors import invalid, malformed, missing, no_such
from payloops.sandbox.stripe.listing import (
    LIST_PARAMETERS,
    check_known,
    list_events,
    list_reply,
    object_reply,
    page_of,
    search_intents,
)
from payloops.sandbox.stripe.operations import metadata_of, method_named, method_of_token, parameters_of
from payloops.sandbox.stripe.payments import CHARGE
from payloops.sandbox.stripe.refunds import DISPUTE
from payloops.sandbox.wire import Document, Reply, json_reply

_WEBHOOK_SECRET_LENGTH: Final = 32
_URL_LENGTH_MAX: Final = 2000
_ENDPOINTS_MAX: Final = 16
"""Stripe's own limit of an account, in each mode."""


def search(work: Work, call: Call) -> Reply:
    """``GET /v1/payment_intents/search``."""
    return search_intents(work, parameters_of(call))


def retrieve_method(work: Work, call: Call) -> Reply:
    """``GET /v1/payment_methods/:id``; of a test token too, which makes a payment method of it."""
    parameters = parameters_of(call)
    check_known(parameters, ("expand",))
    return object_reply(work, parameters, method_named(work, call.path["id"]).body)


def create_method(work: Work, call: Call) -> Reply:
    """``POST /v1/payment_methods`` of a card token."""
    parameters = parameters_of(call)
    check_known(parameters, ("type", "card", "billing_details", "metadata", "expand", "allow_redisplay"))
    if parameters.choice("type", ("card",)) is None:
        raise missing("type")
    card = parameters.nested("card")
    if "number" in card:
        raise payments.refuse_raw_card()
    token = card.text("token")
    if token is None:
        raise missing("card[token]")
    method = method_of_token(work, token, "card[token]")
    method.body["metadata"] = payments.merged_metadata({}, metadata_of(parameters))
    method.body["billing_details"] |= parameters.mapping("billing_details") or {}
    work.save(method)
    return object_reply(work, parameters, method.body)


# ----------------------------------------------------------------------------------------------- events, disputes
def retrieve_event(work: Work, call: Call) -> Reply:
    """``GET /v1/events/:id``."""
    event = work.find(EVENT, call.path["id"])
    if event is None:
        raise no_such(EVENT, call.path["id"], "id")
    event.body["pending_webhooks"] = work.pending_deliveries_of(event.id)
    return json_reply(200, event.body)


def list_all_events(work: Work, call: Call) -> Reply:
    """``GET /v1/events``."""
    return list_events(work, parameters_of(call))


def retrieve_dispute(work: Work, call: Call) -> Reply:
    """``GET /v1/disputes/:id``."""
    parameters = parameters_of(call)
    check_known(parameters, ("expand",))
    dispute = work.find(DISPUTE, call.path["id"])
    if dispute is None:
        raise no_such(DISPUTE, call.path["id"], "dispute")
    return object_reply(work, parameters, dispute.body)


def list_disputes(work: Work, call: Call) -> Reply:
    """``GET /v1/disputes``, of one payment or charge too."""
    parameters = parameters_of(call)
    check_known(parameters, (*LIST_PARAMETERS, "payment_intent", "charge"))
    page = page_of(work, parameters, DISPUTE)
    parent, charge_id = parameters.text("payment_intent"), parameters.text("charge")
    if charge_id is not None:
        # As with refunds: a payment has one charge that took money.
        charge = work.find(CHARGE, charge_id)
        if charge is None:
            raise no_such(CHARGE, charge_id, "charge")
        parent = charge.body["payment_intent"]
    found = work.documents(DISPUTE, page, parent=parent)
    return list_reply(work, parameters, "/v1/disputes", page, found)


# ---------------------------------------------------------------------------------------------- webhook endpoints
def create_endpoint(work: Work, call: Call) -> Reply:
    """``POST /v1/webhook_endpoints``; the only answer that shows the signing secret."""
    parameters = parameters_of(call)
    check_known(parameters, ("api_version", "connect", "description", "enabled_events", "expand", "metadata", "url"))
    url = _url(parameters)
    if url is None:
        raise missing("url")
    events = parameters.texts("enabled_events")
    if not events:
        raise missing("enabled_events")
    if len(work.documents(ENDPOINT, Page(limit=_ENDPOINTS_MAX))) >= _ENDPOINTS_MAX:
        raise invalid(f"You have reached the maximum of {_ENDPOINTS_MAX} test webhook endpoints.")
    metadata = payments.merged_metadata({}, metadata_of(parameters))
    body = objects.new_webhook_endpoint(
        url, events, work.now_s, description=parameters.text("description"), metadata=metadata
    )
    secret = f"whsec_{secret_text(_WEBHOOK_SECRET_LENGTH)}"
    work.add(ENDPOINT, body, hidden={"secret": secret, "manners": Manners().as_document()})
    return json_reply(200, body | {"secret": secret})


def _url(parameters: Parameters) -> str | None:
    url = parameters.text("url", length_max=_URL_LENGTH_MAX)
    if url is not None and not is_web_address(url):
        raise malformed("url", "is not an http or https address")
    return url


def is_web_address(url: str) -> bool:
    """Whether ``url`` is an absolute http or https address."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _endpoint(work: Work, call: Call) -> StoredDocument:
    endpoint = work.find(ENDPOINT, call.path["id"])
    if endpoint is None:
        raise no_such(ENDPOINT, call.path["id"], "webhook_endpoint")
    return endpoint


def retrieve_endpoint(work: Work, call: Call) -> Reply:
    """``GET /v1/webhook_endpoints/:id``."""
    return json_reply(200, _endpoint(work, call).body)


def list_endpoints(work: Work, call: Call) -> Reply:
    """``GET /v1/webhook_endpoints``."""
    parameters = parameters_of(call)
    check_known(parameters, LIST_PARAMETERS)
    page = page_of(work, parameters, ENDPOINT)
    found = work.documents(ENDPOINT, page)
    return list_reply(work, parameters, "/v1/webhook_endpoints", page, found)


def update_endpoint(work: Work, call: Call) -> Reply:
    """``POST /v1/webhook_endpoints/:id``."""
    parameters = parameters_of(call)
    check_known(parameters, ("description", "disabled", "enabled_events", "expand", "metadata", "url"))
    url, events, disabled = _url(parameters), parameters.texts("enabled_events"), parameters.boolean("disabled")
    endpoint = _endpoint(work, call)
    if url is not None:
        endpoint.body["url"] = url
    if events:
        endpoint.body["enabled_events"] = events
    if disabled is not None:
        endpoint.body["status"] = "disabled" if disabled else "enabled"
    if "description" in parameters:
        endpoint.body["description"] = parameters.text("description")
    endpoint.body["metadata"] = payments.merged_metadata(endpoint.body["metadata"], metadata_of(parameters))
    work.save(endpoint)
    return json_reply(200, endpoint.body)


def delete_endpoint(work: Work, call: Call) -> Reply:
    """``DELETE /v1/webhook_endpoints/:id``."""
    endpoint = _endpoint(work, call)
    work.delete(endpoint)
    return json_reply(200, {"id": endpoint.id, "object": ENDPOINT, "deleted": True})


# ------------------------------------------------------------------------------------------------ balance, account
def balance(_: Work, __: Call) -> Reply:
    """``GET /v1/balance``: that the key works is all it tells."""
    nothing = [{"amount": 0, "currency": "usd", "source_types": {"card": 0}}]
    return json_reply(200, {"object": "balance", "available": nothing, "livemode": False, "pending": nothing})


def account(work: Work, call: Call) -> Reply:
    """``GET /v1/account`` and ``GET /v1/accounts/:id`` of oneself."""
    number = account_number("acct", work.account.key)
    asked = call.path.get("id", number)
    if asked != number:
        raise invalid(f"No such account: '{asked}'", param="account", code="resource_missing", status=404)
    body: Document = {
        "id": number,
        "object": "account",
        "business_profile": {"name": "PayLoops sandbox"},
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": "US",
        "created": work.account.created_s,
        "default_currency": "usd",
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": True,
        "settings": {"dashboard": {"display_name": "PayLoops sandbox", "timezone": "Etc/UTC"}},
        "type": "standard",
    }
    return json_reply(200, body)
