"""PaymentIntents through the official SDK."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.sandbox.world import World

PLAIN: Any = {"amount": 1234, "currency": "usd", "confirm": True, "payment_method_types": ["card"]}


async def create(world: World, **params: Any) -> Any:
    return await world.stripe().v1.payment_intents.create_async(PLAIN | params)


async def event_types(world: World) -> list[str]:
    events = await world.stripe().v1.events.list_async({"limit": 100})
    return [event.type for event in reversed(events.data)]


async def test_a_confirmed_payment_takes_the_money(world: World) -> None:
    intent = await create(
        world,
        payment_method="pm_card_visa",
        metadata={"order_id": "o-1", "merchant_id": "m-1"},
        description="An order",
        expand=["latest_charge", "payment_method"],
    )
    assert intent.status == "succeeded"
    assert (intent.amount, intent.amount_received, intent.currency) == (1234, 1234, "usd")
    assert intent.id.startswith("pi_")
    assert intent.client_secret.startswith(f"{intent.id}_secret_")
    assert intent.metadata.to_dict() == {"order_id": "o-1", "merchant_id": "m-1"}
    charge = intent.latest_charge
    assert (charge.id[:3], charge.status, charge.paid, charge.captured) == ("ch_", "succeeded", True, True)
    assert charge.metadata.to_dict() == {"order_id": "o-1", "merchant_id": "m-1"}
    assert charge.outcome.type == "authorized"
    assert (intent.payment_method.card.brand, intent.payment_method.card.last4) == ("visa", "4242")
    assert await event_types(world) == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


async def test_no_payment_method_is_a_visa(world: World) -> None:
    intent = await create(world)
    assert intent.status == "succeeded"


async def test_tokens_go_as_payment_method_data(world: World) -> None:
    intent = await create(
        world,
        payment_method_data={"type": "card", "card": {"token": "tok_mastercard"}},
        expand=["payment_method"],
    )
    assert intent.status == "succeeded"
    assert intent.payment_method.card.brand == "mastercard"


@pytest.mark.parametrize("amount", [1, 99_999_999, 100_000_000, 2**53 - 1])
async def test_any_amount_of_the_contract_is_taken(world: World, amount: int) -> None:
    intent = await create(world, amount=amount)
    assert (intent.status, intent.amount_received) == ("succeeded", amount)


@pytest.mark.parametrize("currency", ["JPY", "kwd", "Isk"])
async def test_currencies_come_back_in_lower_case(world: World, currency: str) -> None:
    intent = await create(world, currency=currency)
    assert intent.currency == currency.lower()


async def test_created_and_confirmed_apart(world: World) -> None:
    intents = world.stripe().v1.payment_intents
    params: Any = {"amount": 500, "currency": "eur"}
    intent = await intents.create_async(params)
    assert intent.status == "requires_payment_method"
    confirmed = await intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    assert confirmed.status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    assert refused.value.code == "payment_intent_unexpected_state"
    assert refused.value.error is not None
    assert refused.value.error.payment_intent is not None
    assert refused.value.error.payment_intent.status == "succeeded"


async def test_a_method_given_at_creation_waits_for_confirmation(world: World) -> None:
    intents = world.stripe().v1.payment_intents
    intent = await intents.create_async({"amount": 500, "currency": "eur", "payment_method": "pm_card_amex"})
    assert intent.status == "requires_confirmation"
    confirmed = await intents.confirm_async(intent.id)
    assert confirmed.status == "succeeded"
    assert confirmed.payment_method == intent.payment_method


@pytest.mark.parametrize(
    ("token", "code", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("pm_card_visa_chargeDeclinedVelocityLimitExceeded", "card_declined", "card_velocity_exceeded"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
        ("pm_card_radarBlock", "card_declined", "fraudulent"),
    ],
)
async def test_declines_are_card_errors(world: World, token: str, code: str, decline_code: str) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await create(world, payment_method=token)
    assert declined.value.http_status == 402
    error = declined.value.error
    assert error is not None
    assert (error.type, error.code, error.decline_code) == ("card_error", code, decline_code)
    assert error.message
    intent = error.payment_intent
    assert intent is not None
    assert intent.status == "requires_payment_method"
    assert error.charge == intent.latest_charge
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.decline_code == decline_code
    charge = await world.stripe().v1.charges.retrieve_async(str(error.charge))
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, code)
    assert (await event_types(world))[1:] == ["charge.failed", "payment_intent.payment_failed"]


async def test_another_card_can_follow_a_decline(world: World) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await create(world, payment_method="pm_card_visa_chargeDeclined")
    assert declined.value.error is not None
    intent = declined.value.error.payment_intent
    assert intent is not None
    client = world.stripe()
    confirmed = await client.v1.payment_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    assert (confirmed.status, confirmed.last_payment_error) == ("succeeded", None)
    charges = await client.v1.charges.list_async({"payment_intent": intent.id})
    assert [charge.status for charge in charges.data] == ["succeeded", "failed"]


async def test_manual_capture_in_full(world: World) -> None:
    intent = await create(world, capture_method="manual")
    assert (intent.status, intent.amount_capturable, intent.amount_received) == ("requires_capture", 1234, 0)
    captured = await world.stripe().v1.payment_intents.capture_async(intent.id, {"expand": ["latest_charge"]})
    assert (captured.status, captured.amount_capturable, captured.amount_received) == ("succeeded", 0, 1234)
    charge: Any = captured.latest_charge
    assert (charge.captured, charge.amount_captured, charge.amount_refunded) == (True, 1234, 0)
    assert await event_types(world) == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "charge.captured",
        "payment_intent.succeeded",
    ]


async def test_partial_capture_releases_the_rest(world: World) -> None:
    intents = world.stripe().v1.payment_intents
    intent = await create(world, capture_method="manual")
    captured = await intents.capture_async(intent.id, {"amount_to_capture": 1000, "expand": ["latest_charge"]})
    assert (captured.status, captured.amount_received) == ("succeeded", 1000)
    charge: Any = captured.latest_charge
    assert (charge.amount_captured, charge.amount_refunded, charge.refunded) == (1000, 234, False)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await intents.capture_async(intent.id)
    assert refused.value.code == "payment_intent_unexpected_state"
    payment = (await world.ledger())["payments"][0]
    assert (payment["amountCaptured"], payment["amountRefunded"]) == (1000, 0)


async def test_more_than_is_held_cannot_be_captured(world: World) -> None:
    intent = await create(world, capture_method="manual")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await world.stripe().v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 1235})
    assert (refused.value.code, refused.value.param) == ("amount_too_large", "amount_to_capture")
    again = await world.stripe().v1.payment_intents.retrieve_async(intent.id)
    assert again.status == "requires_capture"


@pytest.mark.parametrize(
    "params", [{}, {"capture_method": "manual"}, {"payment_method": "pm_card_threeDSecure2Required"}]
)
async def test_cancel(world: World, params: Any) -> None:
    intent = await create(world, **({"confirm": False} | params | ({"confirm": True} if params else {})))
    cancelled = await world.stripe().v1.payment_intents.cancel_async(
        intent.id, {"cancellation_reason": "requested_by_customer"}
    )
    assert (cancelled.status, cancelled.cancellation_reason) == ("canceled", "requested_by_customer")
    assert cancelled.amount_capturable == 0
    assert cancelled.canceled_at is not None
    assert (await event_types(world))[-1] == "payment_intent.canceled"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await world.stripe().v1.payment_intents.cancel_async(intent.id)
    assert refused.value.code == "payment_intent_unexpected_state"


async def test_a_cancelled_hold_shows_as_refunded_but_not_captured(world: World) -> None:
    intent = await create(world, capture_method="manual")
    cancelled = await world.stripe().v1.payment_intents.cancel_async(intent.id, {"expand": ["latest_charge"]})
    charge: Any = cancelled.latest_charge
    assert (charge.captured, charge.refunded, charge.amount_refunded) == (False, True, 1234)
    payment = (await world.ledger())["payments"][0]
    assert (payment["status"], payment["amountCaptured"], payment["amountRefunded"]) == ("canceled", 0, 0)


async def test_a_paid_intent_cannot_be_cancelled(world: World) -> None:
    intent = await create(world)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await world.stripe().v1.payment_intents.cancel_async(intent.id)
    assert refused.value.code == "payment_intent_unexpected_state"


async def test_update_before_confirmation(world: World) -> None:
    intents = world.stripe().v1.payment_intents
    intent = await create(world, confirm=False, metadata={"a": "1", "b": "2"})
    changed = await intents.update_async(
        intent.id,
        {"amount": 999, "currency": "eur", "description": "new", "metadata": {"a": "", "c": "3"}},
    )
    assert (changed.amount, changed.currency, changed.description) == (999, "eur", "new")
    assert changed.metadata.to_dict() == {"b": "2", "c": "3"}
    confirmed = await intents.confirm_async(intent.id)
    assert confirmed.amount_received == 999
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await intents.update_async(intent.id, {"amount": 1})
    assert refused.value.code == "payment_intent_unexpected_state"


@pytest.mark.parametrize(
    "token",
    ["pm_card_authenticationRequired", "pm_card_threeDSecure2Required", "pm_card_threeDSecureRequired"],
)
@pytest.mark.parametrize("capture_method", ["automatic", "manual"])
async def test_three_d_secure_passed(world: World, token: str, capture_method: str) -> None:
    intent = await create(
        world, payment_method=token, capture_method=capture_method, return_url="https://shop.example/back"
    )
    assert intent.status == "requires_action"
    assert intent.next_action.type == "redirect_to_url"
    assert intent.next_action.redirect_to_url.url.startswith(world.sandbox.stripe_url)
    assert intent.latest_charge is None
    await world.act(intent.id, "authenticate", {"result": "succeed"})
    done = await world.stripe().v1.payment_intents.retrieve_async(intent.id, {"expand": ["latest_charge"]})
    assert done.status == ("succeeded" if capture_method == "automatic" else "requires_capture")
    assert done.next_action is None
    charge: Any = done.latest_charge
    assert charge.payment_method_details.card.three_d_secure.result == "authenticated"
    assert (await event_types(world))[:2] == ["payment_intent.created", "payment_intent.requires_action"]


async def test_three_d_secure_failed(world: World) -> None:
    intent = await create(world, payment_method="pm_card_authenticationRequired")
    assert intent.next_action.type == "use_stripe_sdk"
    await world.act(intent.id, "authenticate", {"result": "fail"})
    done = await world.stripe().v1.payment_intents.retrieve_async(intent.id)
    assert done.status == "requires_payment_method"
    assert done.last_payment_error is not None
    assert done.last_payment_error.code == "payment_intent_authentication_failure"
    assert (await event_types(world))[-1] == "payment_intent.payment_failed"


async def test_three_d_secure_passed_but_declined(world: World) -> None:
    intent = await create(world, payment_method="pm_card_threeDSecureRequiredChargeDeclined")
    await world.act(intent.id, "authenticate", {"result": "succeed"})
    done = await world.stripe().v1.payment_intents.retrieve_async(intent.id)
    assert done.status == "requires_payment_method"
    assert done.last_payment_error is not None
    assert done.last_payment_error.code == "card_declined"


@pytest.mark.parametrize("params", [{"off_session": True}, {"error_on_requires_action": True}])
async def test_no_customer_at_hand_for_three_d_secure(world: World, params: Any) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await create(world, payment_method="pm_card_threeDSecure2Required", **params)
    assert declined.value.code == "authentication_required"


async def test_a_bank_debit_is_processing_for_a_while(world: World) -> None:
    await world.listen()
    intent = await create(world, payment_method="pm_usBankAccount_success", payment_method_types=["us_bank_account"])
    assert intent.status == "processing"
    with pytest.raises(stripe.InvalidRequestError):
        await world.stripe().v1.payment_intents.cancel_async(intent.id)
    await world.receiver.until("payment_intent.processing")
    succeeded = await world.receiver.until("payment_intent.succeeded")
    assert succeeded.body["data"]["object"]["amount_received"] == 1234


async def test_a_bank_debit_can_fail_later(world: World) -> None:
    await world.listen()
    intent = await create(world, payment_method="pm_usBankAccount_accountClosed")
    assert intent.status == "processing"
    failed = await world.receiver.until("payment_intent.payment_failed")
    assert failed.body["data"]["object"]["last_payment_error"]["code"] == "account_closed"


async def test_payment_methods(world: World) -> None:
    methods = world.stripe().v1.payment_methods
    of_token = await methods.retrieve_async("pm_card_visa")
    assert (of_token.type, of_token.card.last4 if of_token.card else None) == ("card", "4242")
    made = await methods.create_async({"type": "card", "card": {"token": "tok_amex"}, "metadata": {"a": "b"}})
    assert made.card is not None
    assert made.card.brand == "amex"
    again = await methods.retrieve_async(made.id)
    assert again.metadata is not None
    assert again.metadata.to_dict() == {"a": "b"}
    intent = await create(world, payment_method=made.id)
    assert (intent.status, intent.payment_method) == ("succeeded", made.id)
    misplaced: list[Any] = [
        {"payment_method": "pm_unknown"},
        {"payment_method": "tok_visa"},
        {"payment_method_data": {"type": "card", "card": {"token": "pm_card_visa"}}},
    ]
    for params in misplaced:
        with pytest.raises(stripe.InvalidRequestError) as unknown:
            await create(world, **params)
        assert unknown.value.code == "resource_missing"


async def test_the_credential_can_be_checked(world: World) -> None:
    client = world.stripe()
    balance = await client.v1.balance.retrieve_async()
    assert balance.object == "balance"
    account = await client.v1.accounts.retrieve_current_async()
    assert account.id.startswith("acct_")
    assert account.charges_enabled
    assert (await client.v1.accounts.retrieve_async(account.id)).id == account.id
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.accounts.retrieve_async("acct_other")
