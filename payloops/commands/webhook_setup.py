"""What this service wants to hear from processors, and the port through which it is registered there.

Pure but for the port's own calls, which whoever implements it makes outside of any transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias
from uuid import UUID

EVENT_TYPES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "stripe": (
            "payment_intent.succeeded",
            "payment_intent.payment_failed",
            "payment_intent.requires_action",
            "payment_intent.processing",
            "payment_intent.canceled",
            "payment_intent.amount_capturable_updated",
            "charge.refunded",
            "charge.refund.updated",
            "refund.created",
            "refund.updated",
            "refund.failed",
            "charge.dispute.created",
            "charge.dispute.updated",
            "charge.dispute.closed",
            "charge.dispute.funds_withdrawn",
            "charge.dispute.funds_reinstated",
        ),
        "razorpay": (
            "payment.authorized",
            "payment.captured",
            "payment.failed",
            "order.paid",
            "refund.created",
            "refund.processed",
            "refund.failed",
            "payment.dispute.created",
            "payment.dispute.under_review",
            "payment.dispute.action_required",
            "payment.dispute.won",
            "payment.dispute.lost",
            "payment.dispute.closed",
        ),
    }
)
"""The types of events that have an effect (the wire contract, "Inbound webhooks"), by processor."""


@dataclass(frozen=True, slots=True)
class HeldWebhook:
    """An endpoint that was registered before, and the secret that only its registration showed."""

    endpoint_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NotRegistered:
    """``reason`` is a sentence for the merchant."""

    reason: str


WebhookRegistration: TypeAlias = HeldWebhook | NotRegistered


class WebhookRegistrar(Protocol):
    """Registers our address in merchants' accounts. Each call takes a bounded time; none raises for the processor."""

    def obstacle(self, url: str) -> str | None:
        """Why the processor could not reach that address; None when it should."""
        ...

    def turn(self, merchant_id: UUID) -> AbstractAsyncContextManager[None]:
        """One configuration of a merchant at a time, so that two do not register twice."""
        ...

    async def register(self, secret_key: str, url: str, held: HeldWebhook | None) -> WebhookRegistration:
        """Exactly one endpoint with that address in the account.

        It is ``held`` if that is there, whatever its address was; else a new one.
        """
        ...

    async def remove(self, secret_key: str, endpoint_id: str) -> None:
        """Take an endpoint away, as far as that can be done."""
        ...
