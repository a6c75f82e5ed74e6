"""``POST /webhooks/…``: a processor's event, taken in when its signature holds (the wire contract, "Inbound webhooks").

One append keeps the event and the intent to process it; then it is acknowledged. A repeat is acknowledged and changes
nothing. What is wrong with a signature is told to nobody, nor whether there is such a merchant.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import orjson

from payloops.commands.processor_event import ReceiveProcessorEvent, processor_event_id
from payloops.crypto.processor_signatures import razorpay_signature_holds, stripe_signature_holds
from payloops.errors import AlreadyReceived, InvalidJson, InvalidSignature, MissingSignature, RuleViolation
from payloops.events.base import Actor, Meta, Sealed
from payloops.http.answers.webhooks import Received
from payloops.http.errors import UnsupportedMediaType, no_path
from payloops.http.json_body import parse
from payloops.http.message import Reply, Request
from payloops.http.openapi.operation import Operation, Parameter, documented
from payloops.http.services import Services
from payloops.http.webhooks.envelopes import ENVELOPES, Envelope, body_id
from payloops.projections.processor_events import BODY
from payloops.projections.views import as_uuid
from payloops.telemetry import traceparent
from payloops.values import new_id

SIGNATURE_HEADERS: Final = {"stripe": "Stripe-Signature", "razorpay": "X-Razorpay-Signature"}
EVENT_ID_HEADER: Final = "X-Razorpay-Event-Id"

_RECEIVED: Final = b'{"received":true}'
_ACTORS: Final = {name: Actor("processor", name) for name in SIGNATURE_HEADERS}


_ERRORS: Final = (
    *("missing_signature", "invalid_signature", "invalid_json"),
    *("unsupported_media_type", "payload_too_large"),
)
_STRIPE: Final = Operation(
    summary="An event of Stripe",
    raw="Stripe's event, as it was signed.",
    example={"id": "evt_1", "type": "customer.created", "data": {"object": {"metadata": {}}}},
    headers=(Parameter(SIGNATURE_HEADERS["stripe"], {"type": "string"}, "`t=<s>,v1=<hex>`", "header", required=True),),
    answers={200: Received},
    errors=_ERRORS,
)
_RAZORPAY: Final = Operation(
    summary="An event of Razorpay",
    raw="Razorpay's event, as it was signed.",
    example={"event": "payment.captured", "payload": {"payment": {"entity": {"id": "pay_1", "notes": {}}}}},
    headers=(
        Parameter(SIGNATURE_HEADERS["razorpay"], {"type": "string"}, "The body's HMAC.", "header", required=True),
        Parameter(EVENT_ID_HEADER, {"type": "string"}, "The event's id.", "header"),
    ),
    answers={200: Received},
    errors=_ERRORS,
)


@documented(stripe=_STRIPE, razorpay=_RAZORPAY)
async def receive(request: Request, services: Services) -> Reply:
    """``POST /webhooks/:processor``: the merchant stands in the event's metadata or notes."""
    return await _receive(request, services, request.params[0], None)


@documented(stripe=_STRIPE, razorpay=_RAZORPAY)
async def receive_for_merchant(request: Request, services: Services) -> Reply:
    """``POST /webhooks/:processor/:merchantId``: the secret is chosen without trusting the body."""
    return await _receive(request, services, request.params[0], request.params[1])


async def _receive(request: Request, services: Services, processor: str, merchant_text: str | None) -> Reply:
    header = SIGNATURE_HEADERS.get(processor)
    if header is None:
        raise no_path()
    signatures = request.headers.getall(header, ())
    if not signatures:
        raise MissingSignature(f"The event has no signature: the {header} header is missing.", param=header)
    if "Content-Encoding" in request.headers:
        raise UnsupportedMediaType("Send the event as it was signed: without a Content-Encoding.")
    merchant_id = _named_merchant(request, processor) if merchant_text is None else as_uuid(merchant_text)
    secrets = () if merchant_id is None else await services.webhook_secrets.get(merchant_id, processor)
    signature = signatures[0] if len(signatures) == 1 else ""
    if not _holds(services, processor, signature, request.body, secrets) or merchant_id is None:
        raise InvalidSignature("The signature of the event does not hold.", param=header)
    document = parse(request.body, cards=True)
    if type(document) is not dict:
        raise InvalidJson("The event must be a JSON object.")
    envelope = ENVELOPES[processor](document, request.headers.get(EVENT_ID_HEADER))
    await _store(request, services, processor, merchant_id, envelope)
    return Reply(200, _RECEIVED)


def _named_merchant(request: Request, processor: str) -> UUID | None:
    """Who the body says that it is for. Of a body that can't be read nobody: its signature can't hold then."""
    try:
        document: Any = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return None
    return ENVELOPES[processor](document, None).merchant_id if isinstance(document, dict) else None


def _holds(services: Services, processor: str, signature: str, body: bytes, secrets: tuple[bytes, ...]) -> bool:
    if processor == "stripe":
        return stripe_signature_holds(signature, body, secrets, now_s=services.clock.now().timestamp())
    return razorpay_signature_holds(signature, body, secrets)


async def _store(request: Request, services: Services, processor: str, merchant_id: UUID, envelope: Envelope) -> None:
    """Raises Unavailable. A repeat, under whatever id, changes nothing."""
    body = request.body
    natural_id = body_id(body) if envelope.event_id is None or processor == "razorpay" else ""
    their_id = envelope.event_id or natural_id
    stream_id = processor_event_id(merchant_id, processor, their_id)
    command = ReceiveProcessorEvent(
        event_id=stream_id,
        now=services.clock.now(),
        meta=Meta(
            new_id(), _ACTORS[processor], request.correlation_id, causation_id=their_id, traceparent=traceparent()
        ),
        merchant_id=merchant_id,
        processor=processor,
        processor_event_id=their_id,
        type=envelope.type,
        order_id=envelope.order_id,
        body=await _sealed(services, merchant_id, stream_id, body),
    )
    try:
        await services.handler.execute(
            services.processor_events,
            stream_id,
            command,
            new=True,
            # Razorpay does not sign the id: the body tells a repeat under another one.
            claim=f"{processor}-event:{merchant_id}:{natural_id}" if processor == "razorpay" else None,
            taken=AlreadyReceived("This event is stored under another id."),
        )
    except AlreadyReceived:
        return


async def _sealed(services: Services, merchant_id: UUID, stream_id: UUID, body: bytes) -> Sealed | None:
    key = await services.personal.key_for(merchant_id)
    try:
        return key.seal(BODY, stream_id, body.decode())
    except RuleViolation:
        # The merchant's personal data was erased: there is nothing left to keep another person's in.
        return None
