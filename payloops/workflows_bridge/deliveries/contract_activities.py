"""The webhook activities of the wire contract ("Temporal"), which workers of others call: plain JSON in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from payloops.commands.aggregates import Orders
from payloops.commands.handlers import CommandHandler
from payloops.commands.order_reports import PublishEvent
from payloops.errors import NotFound, RuleViolation, Unavailable
from payloops.events.order_state import Absent, Existing
from payloops.events.public_events import public_event_id
from payloops.projections.personal_data import PersonalData
from payloops.projections.public_events import seal_payload
from payloops.values import Clock, iso
from payloops.workflows_bridge.activities import Caller, meta_of
from payloops.workflows_bridge.contract_activities import optional_text, required_id, required_text
from payloops.workflows_bridge.contracts import ContractViolation
from payloops.workflows_bridge.deliveries.outside import Errand, Outside
from payloops.workflows_bridge.deliveries.receivers import Receivers
from payloops.workflows_bridge.deliveries.sender import URL_CHARS_MAX, Answer, Exhausted

Json = Mapping[str, Any]

EVENT_TYPE_CHARS_MAX: Final = 64


class DeliveryContractActivities:
    """See the module. All raise ContractViolation and Unavailable."""

    def __init__(
        self,
        *,
        handler: CommandHandler,
        orders: Orders,
        personal: PersonalData,
        receivers: Receivers,
        outside: Outside,
        clock: Clock,
    ) -> None:
        self._handler = handler
        self._orders = orders
        self._personal = personal
        self._receivers = receivers
        self._outside = outside
        self._clock = clock
        self.by_name = {
            "getMerchantWebhookUrl": self.get_merchant_webhook_url,
            "createWebhookEvent": self.create_webhook_event,
            "deliverWebhook": self.deliver_webhook,
        }
        """By the names of the wire contract."""

    async def get_merchant_webhook_url(self, told: Json, caller: Caller) -> dict[str, Any]:  # noqa: ARG002 - all activities look alike
        """getMerchantWebhookUrl: where the merchant's default endpoint is, and its secret; nulls when there is none."""
        found = await self._receivers.default(required_id(told, "merchantId"))
        url, secret = found or (None, None)
        return {"url": url, "secret": secret}

    async def create_webhook_event(self, told: Json, caller: Caller) -> str:
        """createWebhookEvent: merchants are to be told; the id of the event that tells them.

        What was told already, by ourselves or by an earlier call, is not told again: its id is answered. What is told
        goes to the merchant's endpoints as all events do. Raises NotFound, InvalidInput (no such type).
        """
        merchant_id, order_id = required_id(told, "merchantId"), required_id(told, "orderId")
        event_type = required_text(told, "eventType")
        if len(event_type) > EVENT_TYPE_CHARS_MAX:
            raise ContractViolation("eventType is none that merchants are told of")
        payload = told.get("payload")
        if payload is not None and not isinstance(payload, Mapping):
            raise ContractViolation("payload must be an object")
        state = _existing(await self._handler.load(self._orders, order_id), merchant_id)
        version = state.facts.published_version(event_type)
        if version is None:
            sealed = None
            if payload:
                try:
                    sealed = seal_payload(await self._personal.key_for(merchant_id), order_id, payload)
                except RuleViolation:
                    # The merchant's personal data was erased, so nothing can be kept; the event is told without it.
                    sealed = None
            command = PublishEvent(
                order_id, self._clock.now(), meta_of(caller), event_type, payload=None, sealed_payload=sealed
            )
            executed = await self._handler.execute(self._orders, order_id, command)
            version = _existing(executed.state, merchant_id).facts.published_version(event_type)
        if version is None:
            raise RuntimeError("an event was published, and its order does not know it")
        return str(public_event_id(order_id, version))

    async def deliver_webhook(self, told: Json, caller: Caller) -> dict[str, Any]:
        """deliverWebhook: one request, by the rules of all webhooks; whether to try again is the worker's to decide."""
        event_id = required_text(told, "webhookEventId")
        url = optional_text(told, "webhookUrl", length_max=URL_CHARS_MAX)
        if not url:
            raise ContractViolation("webhookUrl is missing")
        if not event_id.isascii() or not event_id.isprintable():
            raise ContractViolation("webhookEventId must be printable ASCII")
        errand = Errand(event_id, None, url, told.get("payload"), optional_text(told, "webhookSecret"))
        try:
            answer = await self._outside.send(errand, caller.correlation_id)
        except Exhausted:
            raise Unavailable("This process can't open another connection at the moment.") from None
        return self._told(answer)

    def _told(self, answer: Answer) -> dict[str, Any]:
        return {
            "success": answer.success,
            "statusCode": answer.status_code,
            "attempts": 1,
            "deliveredAt": iso(self._clock.now()) if answer.success else None,
            "errorMessage": answer.error,
        }


def _existing(state: Any, merchant_id: UUID) -> Existing:
    """The order. Raises NotFound for none, and for another merchant's."""
    if isinstance(state, Absent) or state.facts.merchant_id != merchant_id:
        raise NotFound("No such order.")
    existing: Existing = state
    return existing
