"""Stripe, through its SDK and PaymentIntents (https://docs.stripe.com/api/payment_intents).

A payment is a PaymentIntent; its id stands for both the processor's order and its transaction. Every POST carries an
idempotency key made from the order and attempt, or the refund. Stripe forgets keys after a day at the earliest
(https://docs.stripe.com/api/idempotent_requests), so an order or refund that is nearly that old is looked up before
it is made again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from uuid import UUID

import stripe

from payloops.errors import AmountMismatch
from payloops.values import Clock, born_s
from payloops.workflows_bridge.processors.amounts import to_stripe
from payloops.workflows_bridge.processors.base import (
    Declined,
    DisputeList,
    DisputeListing,
    Misconfigured,
    NotFound,
    PaymentOutcome,
    PaymentRef,
    PaymentRequest,
    RefundList,
    RefundListing,
    RefundNotFound,
    RefundOutcome,
    RefundRejected,
    Retryable,
    Trouble,
    Unknown,
)
from payloops.workflows_bridge.processors.stripe_replies import (
    created_s,
    furthest,
    identifier,
    listed_dispute,
    listed_refund,
    members,
    metadata_of,
    payment_outcome,
    refund_outcome,
)
from payloops.workflows_bridge.processors.stripe_requests import confirmation, create_params, refund_params
from payloops.workflows_bridge.processors.stripe_sdk import stripe_client
from payloops.workflows_bridge.processors.transport import (
    CredentialsRefused,
    MaybeExecuted,
    NotExecuted,
    Transport,
    UnreadableReply,
)

if TYPE_CHECKING:
    from stripe.params import (
        PaymentIntentCancelParams,
        PaymentIntentCaptureParams,
        PaymentIntentCreateParams,
        PaymentIntentListParams,
        PaymentIntentSearchParams,
        RefundCreateParams,
        RefundListParams,
    )

KEY_LIFETIME_S: Final = 23 * 3600
"""An hour less than Stripe promises to remember an idempotency key."""
SEARCH_LAG_S: Final = 3600
"""How far behind Stripe's search index can be (https://docs.stripe.com/api/payment_intents/search)."""
CLOCK_SKEW_S: Final = 300
PAGE_SIZE: Final = 100
PAGES_MAX: Final = 3

_UNFIT_ACCOUNT: Final = frozenset({
    "account_country_invalid_address", "account_invalid", "api_key_expired", "livemode_mismatch",
    "platform_api_key_expired", "secret_key_required", "testmode_charges_only", "tls_version_unsupported",
})  # fmt: skip

_Outcome = TypeVar("_Outcome")


class StripeProcessor:
    """A merchant's Stripe account."""

    def __init__(self, secret_key: str, *, api_base: str, transport: Transport, clock: Clock) -> None:
        client = stripe_client(secret_key, api_base=api_base, transport=transport)
        self._intents = client.v1.payment_intents
        self._refunds = client.v1.refunds
        self._disputes = client.v1.disputes
        self._transport = transport
        self._clock = clock

    def __repr__(self) -> str:
        return "<StripeProcessor>"

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    # ------------------------------------------------------------------------------------------------------- payments

    async def create_payment(self, request: PaymentRequest) -> PaymentOutcome:
        """A confirmed PaymentIntent; without a payment method, where Stripe wants one, an unconfirmed one."""
        return await self._ask(lambda: self._create(request), moves_money=True)

    async def get_payment(self, ref: PaymentRef) -> PaymentOutcome:
        """By id, else among the account's PaymentIntents by metadata."""
        return await self._ask(lambda: self._get(ref), moves_money=False)

    async def capture_payment(self, ref: PaymentRef, amount: int) -> PaymentOutcome:
        """A final capture: Stripe releases what is left."""
        key = f"order-{ref.order_id}-{ref.attempt}-capture"

        async def change(intent_id: str) -> stripe.PaymentIntent:
            params = {"amount_to_capture": to_stripe(amount, ref.currency)}
            return await self._intents.capture_async(
                intent_id, cast("PaymentIntentCaptureParams", params), {"idempotency_key": key}
            )

        return await self._ask(lambda: self._change(ref, change), moves_money=True)

    async def cancel_payment(self, ref: PaymentRef) -> PaymentOutcome:
        """Cancels the PaymentIntent, which releases what it holds."""
        key = f"order-{ref.order_id}-{ref.attempt}-cancel"

        async def change(intent_id: str) -> stripe.PaymentIntent:
            params = {"cancellation_reason": "requested_by_customer"}
            return await self._intents.cancel_async(
                intent_id, cast("PaymentIntentCancelParams", params), {"idempotency_key": key}
            )

        return await self._ask(lambda: self._change(ref, change), moves_money=True)

    async def _create(self, request: PaymentRequest) -> PaymentOutcome:
        ref = _ref(request)
        if self._key_may_be_forgotten(request.order_id):
            earlier = await self._find(ref)
            if earlier is not None:
                return payment_outcome(earlier, request.currency)
        key = f"order-{request.order_id}-{request.attempt}-create"
        params = create_params(request)
        try:
            intent = await self._create_intent({**params, **confirmation(request)}, key)
        except stripe.CardError as refusal:
            return _declined(refusal)
        except stripe.InvalidRequestError as refusal:
            if request.payment_method_token is not None or not _asks_for_a_payment_method(refusal):
                return _declined(refusal)
            left_behind = _intent_of(refusal)
            if left_behind is not None:
                return payment_outcome(left_behind, request.currency)
            intent = await self._create_unconfirmed(params, key)
        return payment_outcome(intent, request.currency)

    async def _create_unconfirmed(self, params: dict[str, Any], key: str) -> stripe.PaymentIntent:
        """The customer brings the payment method: Stripe's own form confirms with the client secret.

        Under a key of its own: the first one may be bound to the refused parameters.
        """
        return await self._create_intent(params, f"{key}-unconfirmed")

    async def _create_intent(self, params: dict[str, Any], key: str) -> stripe.PaymentIntent:
        return await self._intents.create_async(cast("PaymentIntentCreateParams", params), {"idempotency_key": key})

    async def _get(self, ref: PaymentRef) -> PaymentOutcome:
        intent_id = _intent_id(ref)
        try:
            intent = await (self._intents.retrieve_async(intent_id) if intent_id else self._find(ref))
        except stripe.InvalidRequestError as refusal:
            if _is_missing(refusal):
                return NotFound()
            raise
        return NotFound() if intent is None else payment_outcome(intent, ref.currency)

    async def _change(
        self, ref: PaymentRef, change: Callable[[str], Awaitable[stripe.PaymentIntent]]
    ) -> PaymentOutcome:
        """Changes a payment; of one that can't be changed like that any more, the state that it is in."""
        intent_id = _intent_id(ref)
        if intent_id is None:
            found = await self._find(ref)
            if found is None:
                return NotFound()
            intent_id = identifier(found)
        try:
            intent = await change(intent_id)
        except stripe.IdempotencyError:
            intent = await self._intents.retrieve_async(intent_id)
        except stripe.CardError as refusal:
            return _declined(refusal)
        except stripe.InvalidRequestError as refusal:
            if _is_missing(refusal):
                return NotFound()
            if refusal.code != "payment_intent_unexpected_state":
                return _declined(refusal)
            intent = await self._intents.retrieve_async(intent_id)
        return payment_outcome(intent, ref.currency)

    # --------------------------------------------------------------------------------------------- finding by metadata

    async def _find(self, ref: PaymentRef) -> stripe.PaymentIntent | None:
        """The payment of this order and attempt, or None when there surely is none.

        The list is exact but long, the search index knows all but can be an hour behind, and merchants in India have no
        search. So: the list from the order's birth on, and for a busy account, whose list does not reach back that far,
        the search as well. Raises ``NotExecuted`` when both together can't tell.
        """
        params: dict[str, Any] = {"limit": PAGE_SIZE} | _created_since(ref.order_id)
        seen_s: list[int] = []
        for _ in range(PAGES_MAX):
            page = await self._intents.list_async(cast("PaymentIntentListParams", params))
            intents = members(page)
            matching = [intent for intent in intents if _is_of(intent, ref)]
            if matching or not page.has_more or not intents:
                return furthest(matching)
            seen_s += map(created_s, intents)
            params["starting_after"] = identifier(intents[-1])
        found = await self._search(ref)
        if found is None and max(seen_s) - min(seen_s) < SEARCH_LAG_S:
            raise NotExecuted("too many payments to look through, and the search index may be behind")
        return found

    async def _search(self, ref: PaymentRef) -> stripe.PaymentIntent | None:
        params = {"query": f"metadata['order_id']:'{ref.order_id}'", "limit": PAGE_SIZE}
        try:
            results = await self._intents.search_async(cast("PaymentIntentSearchParams", params))
        except stripe.InvalidRequestError:
            raise NotExecuted("too many payments to look through, and no search") from None
        return furthest(intent for intent in members(results) if _is_of(intent, ref))

    def _key_may_be_forgotten(self, made_for: UUID) -> bool:
        made_at_s = born_s(made_for)
        return made_at_s is not None and self._clock.now().timestamp() - made_at_s > KEY_LIFETIME_S

    # -------------------------------------------------------------------------------------------------------- refunds

    async def create_refund(
        self, *, refund_id: UUID, ref: PaymentRef, amount: int, reason: str | None
    ) -> RefundOutcome:
        """A refund of the payment's money. A refusal is believed only when no such refund was made before."""
        return await self._ask(lambda: self._refund(refund_id, ref, amount, reason), moves_money=True)

    async def get_refund(self, *, refund_id: UUID, processor_refund_id: str | None, ref: PaymentRef) -> RefundOutcome:
        """By id, else among the payment's refunds by metadata."""
        return await self._ask(lambda: self._get_refund(refund_id, processor_refund_id, ref), moves_money=False)

    async def _refund(self, refund_id: UUID, ref: PaymentRef, amount: int, reason: str | None) -> RefundOutcome:
        target = await self._refund_target(ref)
        if target is None:
            return RefundRejected(None, "resource_missing", "The processor does not know the payment to refund.")
        if self._key_may_be_forgotten(refund_id):
            earlier = await self._find_refund(refund_id, target)
            if earlier is not None:
                return refund_outcome(earlier, ref.currency)
        params = target | refund_params(refund_id, ref, amount, reason)
        try:
            refund = await self._refunds.create_async(
                cast("RefundCreateParams", params), {"idempotency_key": f"refund-{refund_id}"}
            )
        except (stripe.CardError, stripe.InvalidRequestError, stripe.IdempotencyError) as refusal:
            made_before = await self._find_refund(refund_id, target)
            if made_before is not None:
                return refund_outcome(made_before, ref.currency)
            if isinstance(refusal, stripe.IdempotencyError):
                raise
            return RefundRejected(None, *_code_and_message(refusal))
        return refund_outcome(refund, ref.currency)

    async def _get_refund(self, refund_id: UUID, processor_refund_id: str | None, ref: PaymentRef) -> RefundOutcome:
        try:
            if processor_refund_id is not None:
                return refund_outcome(await self._refunds.retrieve_async(processor_refund_id), ref.currency)
            target = await self._refund_target(ref)
            refund = None if target is None else await self._find_refund(refund_id, target)
        except stripe.InvalidRequestError as refusal:
            if _is_missing(refusal):
                return RefundNotFound()
            raise
        return RefundNotFound() if refund is None else refund_outcome(refund, ref.currency)

    async def _refund_target(self, ref: PaymentRef) -> dict[str, Any] | None:
        """What names the payment in a refund: an external worker may have recorded the charge instead."""
        intent_id = _intent_id(ref)
        if intent_id is not None:
            return {"payment_intent": intent_id}
        if ref.processor_transaction_id is not None:
            return {"charge": ref.processor_transaction_id}
        found = await self._find(ref)
        return None if found is None else {"payment_intent": identifier(found)}

    async def _find_refund(self, refund_id: UUID, target: dict[str, Any]) -> stripe.Refund | None:
        params = {"limit": PAGE_SIZE, **target}
        for _ in range(PAGES_MAX):
            page = await self._refunds.list_async(cast("RefundListParams", params))
            refunds = members(page)
            for refund in refunds:
                if metadata_of(refund).get("refund_id") == str(refund_id):
                    return cast("stripe.Refund", refund)
            if not page.has_more or not refunds:
                return None
            params["starting_after"] = identifier(refunds[-1])
        raise NotExecuted("too many refunds of one payment to look through")

    async def list_refunds(self, ref: PaymentRef) -> RefundListing:
        """The newest of them: PAGES_MAX pages."""
        return await self._ask(lambda: self._list_refunds(ref), moves_money=False)

    async def _list_refunds(self, ref: PaymentRef) -> RefundListing:
        found = await self._listed(ref, self._refunds.list_async)
        if found is None:
            return NotFound()
        refunds, complete = found
        return RefundList(tuple(listed_refund(one, ref.currency) for one in refunds), complete)

    async def list_disputes(self, ref: PaymentRef) -> DisputeListing:
        """The newest of them: PAGES_MAX pages."""
        return await self._ask(lambda: self._list_disputes(ref), moves_money=False)

    async def _list_disputes(self, ref: PaymentRef) -> DisputeListing:
        found = await self._listed(ref, self._disputes.list_async)
        if found is None:
            return NotFound()
        disputes, complete = found
        return DisputeList(tuple(map(listed_dispute, disputes)), complete)

    async def _listed(self, ref: PaymentRef, fetch: Callable[..., Awaitable[Any]]) -> tuple[list[Any], bool] | None:
        """What a list has of the payment, and whether that is all of it; None when there is no such payment."""
        target = await self._refund_target(ref)
        if target is None:
            return None
        params = {"limit": PAGE_SIZE, **target}
        listed: list[Any] = []
        for _ in range(PAGES_MAX):
            try:
                page = await fetch(params)
            except stripe.InvalidRequestError as refusal:
                if _is_missing(refusal):
                    return None
                raise
            found = members(page)
            listed += found
            if not page.has_more or not found:
                return listed, True
            params["starting_after"] = identifier(found[-1])
        return listed, False

    # -------------------------------------------------------------------------------------------------------- trouble

    async def _ask(self, ask: Callable[[], Awaitable[_Outcome]], *, moves_money: bool) -> _Outcome | Trouble:
        """One ask under one deadline, with expected trouble as its outcome."""
        try:
            with self._transport.one_ask():
                return await ask()
        except NotExecuted as trouble:
            return Retryable(trouble.reason, trouble.retry_after_s)
        except MaybeExecuted as trouble:
            return Unknown(trouble.reason)
        except CredentialsRefused as trouble:
            return Misconfigured(
                "authentication_error" if trouble.status == 401 else "permission_error",  # noqa: PLR2004 - HTTP
                "Stripe refused the secret key, or does not allow it to do this.",
            )
        except AmountMismatch as trouble:
            return Misconfigured("amount_not_expressible", trouble.message)
        except stripe.InvalidRequestError as refusal:
            return Misconfigured(*_code_and_message(refusal))
        except (stripe.StripeError, UnreadableReply) as trouble:
            reason = f"Stripe's answer can't be used ({type(trouble).__name__})"
            return Unknown(reason) if moves_money else Retryable(reason)


def _ref(request: PaymentRequest) -> PaymentRef:
    return PaymentRef(request.order_id, request.attempt, None, None, request.amount, request.currency)


def _intent_id(ref: PaymentRef) -> str | None:
    for candidate in (ref.processor_transaction_id, ref.processor_order_id):
        if candidate is not None and candidate.startswith("pi_"):
            return candidate
    return None


def _created_since(order_id: UUID) -> dict[str, Any]:
    made_at_s = born_s(order_id)
    return {} if made_at_s is None else {"created": {"gte": int(made_at_s) - CLOCK_SKEW_S}}


def _is_of(intent: stripe.PaymentIntent, ref: PaymentRef) -> bool:
    metadata = metadata_of(intent)
    return (metadata.get("order_id"), metadata.get("attempt")) == (str(ref.order_id), str(ref.attempt))


def _is_missing(refusal: stripe.InvalidRequestError) -> bool:
    return refusal.code == "resource_missing"


def _asks_for_a_payment_method(refusal: stripe.InvalidRequestError) -> bool:
    """Stripe has several ways to say that nothing can be confirmed without a payment method."""
    if refusal.code == "payment_intent_unexpected_state":
        return True
    return refusal.code == "parameter_missing" and "payment_method" in str(refusal.param or "payment_method")


def _intent_of(refusal: stripe.StripeError) -> stripe.PaymentIntent | None:
    """The PaymentIntent that a refusal left behind, if it tells of one."""
    return None if refusal.error is None else getattr(refusal.error, "payment_intent", None)


def _code_and_message(refusal: stripe.StripeError) -> tuple[str, str]:
    return refusal.code or "invalid_request_error", refusal.user_message or "Stripe refused the request."


def _declined(refusal: stripe.CardError | stripe.InvalidRequestError) -> Declined:
    """A refusal of the payment; refusals that are about the account are raised on."""
    if isinstance(refusal, stripe.InvalidRequestError) and refusal.code in _UNFIT_ACCOUNT:
        raise refusal
    intent = _intent_of(refusal)
    intent_id = None if intent is None else identifier(intent)
    code, message = _code_and_message(refusal)
    decline_code = None if refusal.error is None else getattr(refusal.error, "decline_code", None)
    return Declined(intent_id, intent_id, code, decline_code, message)
