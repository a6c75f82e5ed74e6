"""The activities of the wire contract that this service hosts for workers of others: plain JSON in, plain JSON out.

What a worker reports is a command of the order like any other: late and repeated reports are the order's to judge, so
all of these are idempotent. Input that does not fit raises ContractViolation, which names the field and never a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import orjson

from payloops.commands.aggregates import Orders
from payloops.commands.handlers import CommandHandler
from payloops.commands.order_reports import RecordRefundFailed, RecordRefundSucceeded, RecordStatus
from payloops.crypto import KeyRing
from payloops.db import Database
from payloops.errors import InvalidInput, NotFound
from payloops.events.order_state import Absent, Captured, Existing
from payloops.projections import orders
from payloops.projections.order_wire import wire_order
from payloops.projections.personal_data import PersonalData, open_credentials
from payloops.projections.reading import fetch
from payloops.values import Clock
from payloops.workflows_bridge.accounts import SQL
from payloops.workflows_bridge.activities import Caller, meta_of
from payloops.workflows_bridge.contracts import ContractViolation
from payloops.workflows_bridge.duty import payment_called
from payloops.workflows_bridge.reports import surplus_refund_id

Json = Mapping[str, Any]

TEXT_MAX: Final = 255
MESSAGE_MAX: Final = 1_000
REFUND_STATUSES: Final = ("pending", "success", "failed")
NO_REFUND_CODE: Final = "refund_failed"
NO_REFUND_MESSAGE: Final = "The refund failed; the worker gave no reason."


class ContractActivities:
    """See the module. All raise ContractViolation and Unavailable."""

    def __init__(
        self,
        *,
        handler: CommandHandler,
        orders: Orders,
        database: Database,
        ring: KeyRing,
        personal: PersonalData,
        clock: Clock,
    ) -> None:
        self._handler = handler
        self._orders = orders
        self._database = database
        self._ring = ring
        self._personal = personal
        self._clock = clock
        self.by_name = {
            "getProcessorConfig": self.get_processor_config,
            "updateOrderStatus": self.update_order_status,
            "updateRefundStatus": self.update_refund_status,
            "getOrder": self.get_order,
        }
        """By the names of the wire contract."""

    async def get_processor_config(self, told: Json, caller: Caller) -> dict[str, Any] | None:  # noqa: ARG002 - all activities look alike
        """getProcessorConfig: a merchant's configuration with its credentials in clear; None when there is none.

        A disabled one is answered too: it still serves payments under way. Raises DecryptionError.
        """
        merchant_id, processor = required_id(told, "merchantId"), required_text(told, "processor")
        rows = await fetch(self._database, SQL["configuration"], (merchant_id, processor))
        if not rows:
            return None
        sealed, test_mode = rows[0]
        return {
            "merchantId": str(merchant_id),
            "processor": processor,
            "testMode": test_mode,
            "credentials": open_credentials(self._ring, merchant_id, processor, sealed),
        }

    async def update_order_status(self, told: Json, caller: Caller) -> None:
        """updateOrderStatus: a worker's word on an order; the order decides what it means.

        Raises NotFound, InvalidInput (no such status), InvalidStatus, AmountMismatch.
        """
        order_id, status = required_id(told, "orderId"), required_text(told, "status")
        processor_order_id = optional_text(told, "processorOrderId")
        transaction_id = optional_text(told, "processorTransactionId")
        code = optional_text(told, "errorCode")
        message = optional_text(told, "errorMessage", length_max=MESSAGE_MAX)
        state = await self._order(order_id)
        attempt = payment_called(state, transaction_id).attempt
        command = RecordStatus(
            order_id,
            self._clock.now(),
            meta_of(caller),
            status,
            surplus_refund_id(order_id, attempt, transaction_id),
            processor_order_id=processor_order_id,
            processor_transaction_id=transaction_id,
            error_code=code,
            error_message=message,
        )
        await self._handler.execute(self._orders, order_id, command)

    async def update_refund_status(self, told: Json, caller: Caller) -> None:
        """updateRefundStatus: a worker's word on a refund; ``pending`` says that nothing is decided.

        Raises NotFound, InvalidInput (no such status), AmountMismatch.
        """
        refund_id, order_id = required_id(told, "refundId"), required_id(told, "orderId")
        status, processor_refund_id = required_text(told, "status"), optional_text(told, "processorRefundId")
        code = optional_text(told, "errorCode") or NO_REFUND_CODE
        if status not in REFUND_STATUSES:
            raise InvalidInput("status is none that a refund can have.", param="status")
        head = (order_id, self._clock.now(), meta_of(caller), refund_id)
        if status == "pending":
            state = await self._order(order_id)
            if not isinstance(state, Captured) or state.refund(refund_id) is None:
                raise NotFound("This order has no such refund.")
        elif status == "success":
            await self._handler.execute(self._orders, order_id, RecordRefundSucceeded(*head, processor_refund_id))
        else:
            failed = RecordRefundFailed(*head, code, NO_REFUND_MESSAGE, processor_refund_id)
            await self._handler.execute(self._orders, order_id, failed)

    async def get_order(self, told: Json, caller: Caller) -> dict[str, Any]:  # noqa: ARG002 - all activities look alike
        """getOrder: the order as ``GET /v1/orders/:id`` answers it, from the log. Raises NotFound."""
        state = await self._order(required_id(told, "orderId"))
        key = await self._personal.key_for(state.facts.merchant_id)
        order: dict[str, Any] = orjson.loads(orjson.dumps(wire_order(orders.row(state), key)))
        return order

    async def _order(self, order_id: UUID) -> Existing:
        state = await self._handler.load(self._orders, order_id)
        if isinstance(state, Absent):
            raise NotFound("No such order.")
        return state


def required_id(told: Json, name: str) -> UUID:
    """A UUID of the input. Raises ContractViolation."""
    text = required_text(told, name)
    try:
        return UUID(text)
    except ValueError:
        raise ContractViolation(f"{name} must be a UUID") from None


def required_text(told: Json, name: str) -> str:
    """A text of the input, not empty. Raises ContractViolation."""
    text = optional_text(told, name)
    if not text:
        raise ContractViolation(f"{name} is missing")
    return text


def optional_text(told: Json, name: str, *, length_max: int = TEXT_MAX) -> str | None:
    """A text of the input, or None. Raises ContractViolation."""
    text = told.get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        raise ContractViolation(f"{name} must be a string")
    if len(text) > length_max or "\x00" in text:
        raise ContractViolation(f"{name} must be at most {length_max} characters, without NUL")
    return text
