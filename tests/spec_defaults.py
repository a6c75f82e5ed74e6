"""The fixed ids, times and fields from which specifications build events and commands (spec.py)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid5

from payloops.commands import merchant as merchant_commands
from payloops.commands import order as order_commands
from payloops.commands import order_reports as reports
from payloops.events import merchant as m
from payloops.events import order as o
from payloops.events import processor_event as inbox
from payloops.events.base import Actor, Event, Meta, Sealed
from tests import checkout_specs, webhook_specs

ORDER_ID: Final = UUID("0190a5b0-0000-7000-8000-00000000000a")
MERCHANT_ID: Final = UUID("0190a5b0-0000-7000-8000-00000000000b")
REFUND_ID: Final = UUID("0190a5b0-0000-7000-8000-00000000000c")
SURPLUS_REFUND_ID: Final = UUID("0190a5b0-0000-7000-8000-00000000000d")
KEY_ID: Final = UUID("0190a5b0-0000-7000-8000-00000000000e")
NEW_KEY_ID: Final = UUID("0190a5b0-0000-7000-8000-00000000001e")
CONFIG_ID: Final = UUID("0190a5b0-0000-7000-8000-00000000000f")
DISPUTE_ID: Final = uuid5(ORDER_ID, "dispute-dp_1")
AMOUNT: Final = 1000

PAST: Final = datetime(2026, 1, 2, 3, 0, 0, 0, tzinfo=UTC)
NOW: Final = datetime(2026, 1, 2, 4, 0, 0, 123_000, tzinfo=UTC)

PAST_META: Final = Meta(UUID(int=1), Actor("system", "past"), "past")
NOW_META: Final = Meta(UUID(int=2), Actor("api_key", "now"), "now", causation_id="cause", traceparent=None)

BOTH_PROCESSORS: Final = (
    order_commands.ProcessorOption("stripe", enabled=True, priority=1, test_mode=True),
    order_commands.ProcessorOption("razorpay", enabled=True, priority=1, test_mode=True),
)


_IDS: Final = {"processor_order_id": "pi_1", "processor_transaction_id": "pi_1"}
_REFUSED: Final = {"code": "card_declined", "message": "The card was declined."}
_DISPUTE: Final = {
    "dispute_id": DISPUTE_ID,
    "processor_dispute_id": "dp_1",
    "amount": AMOUNT,
    "reason": "fraudulent",
}
_FLAGS: Final = {"enabled": True, "priority": 1, "test_mode": True}
_KEY: Final = {
    "key_id": KEY_ID,
    "public_id": "abcdefghijkl",
    "prefix": "sk_test_abcd",
    "name": "server",
    "secret_hash": Sealed("sealed-hash"),
    "live": False,
    "scopes": ("orders:read",),
    "expires_at": None,
}
_ACCOUNT: Final = {
    "name": "Shop",
    "email": Sealed("sealed-email"),
    "email_digest": "digest",
    "password_hash": Sealed("sealed-password-hash"),
}
_TERMS: Final = {
    "merchant_id": MERCHANT_ID,
    "test_mode": True,
    "amount": AMOUNT,
    "currency": "USD",
    "external_id": "cart-1",
    "capture_method": "automatic",
}

EVENT_DEFAULTS: Final[Mapping[type[Event], Mapping[str, Any]]] = MappingProxyType(
    {
        o.OrderCreated: _TERMS
        | {
            "customer_id": None,
            "customer_email": None,
            "description": None,
            "metadata": {},
            "return_url": None,
            "cancel_url": None,
            "checkout_session_id": None,
        },
        o.PaymentStarted: {
            "attempt": 1,
            "processor": "stripe",
            "workflow_id": f"payment-{ORDER_ID}",
            "payment_method_type": "card",
            "payment_method_token": "pm_card_visa",
        },
        o.PaymentDiscovered: {"attempt": 1, "processor": "stripe", **_IDS},
        o.PaymentIdentified: {"attempt": 1, **_IDS},
        o.PaymentProcessing: {"attempt": 1},
        o.PaymentActionRequired: {
            "attempt": 1,
            **_IDS,
            "redirect_url": Sealed("sealed-redirect-url"),
            "client_secret": Sealed("sealed-client-secret"),
            "processor_data": None,
        },
        o.PaymentAuthorized: {"attempt": 1, **_IDS, "amount": AMOUNT},
        o.PaymentCaptured: {"attempt": 1, **_IDS, "amount": AMOUNT},
        o.PaymentFailed: {"attempt": 1, **_REFUSED, "decline_code": "generic_decline", **_IDS, "ended": False},
        o.PaymentOutcomeUnknown: {"attempt": 1, "operation": "payment", "reason": "timeout"},
        o.SurplusPaymentAuthorized: {
            "attempt": 2,
            "processor": "stripe",
            "processor_order_id": "pi_2",
            "processor_transaction_id": "pi_2",
            "amount": AMOUNT,
            "workflow_id": f"void-{ORDER_ID}",
        },
        o.SurplusPaymentCaptured: {
            "attempt": 2,
            "refund_id": SURPLUS_REFUND_ID,
            "processor": "stripe",
            "processor_order_id": "pi_2",
            "processor_transaction_id": "pi_2",
            "amount": AMOUNT,
        },
        o.CaptureRequested: {"amount": AMOUNT, "workflow_id": f"capture-{ORDER_ID}"},
        o.CaptureFailed: _REFUSED,
        o.CancelRequested: {"reason": None, "workflow_id": f"void-{ORDER_ID}"},
        o.CancelFailed: _REFUSED,
        o.OrderCancelled: {"reason": None, "released": 0, "processor_transaction_id": None},
        o.RefundRequested: {
            "refund_id": REFUND_ID,
            "amount": AMOUNT,
            "reason": None,
            "workflow_id": f"refund-{REFUND_ID}",
        },
        o.RefundDiscovered: {
            "refund_id": REFUND_ID,
            "amount": AMOUNT,
            "reason": None,
            "processor_refund_id": "re_1",
            "counted_before": {},
        },
        o.RefundIdentified: {"refund_id": REFUND_ID, "processor_refund_id": "re_1"},
        o.RefundSucceeded: {"refund_id": REFUND_ID, "processor_refund_id": "re_1"},
        o.RefundFailed: {"refund_id": REFUND_ID, **_REFUSED, "processor_refund_id": "re_1"},
        o.RefundOutcomeUnknown: {"refund_id": REFUND_ID, "reason": "timeout"},
        o.RefundTotalTold: {"total": 400},
        o.DisputeOpened: {**_DISPUTE, "processor_transaction_id": "pi_1"},
        o.DisputeWon: _DISPUTE,
        o.DisputeLost: _DISPUTE,
        o.ExternalEventPublished: {"event_type": "payment.captured", "payload": None, "sealed_payload": None},
        o.SyncRequested: {"number": 1},
        o.SyncFinished: {"number": 1, "answers": (), "changed": False},
        m.MerchantRegistered: _ACCOUNT,
        m.ProfileChanged: {"name": "Shop", "webhook_url": "https://shop.example/hook"},
        m.PasswordChanged: {"password_hash": Sealed("sealed-new-password-hash"), "token_version": 1},
        m.TokensRevoked: {"token_version": 1},
        m.ApiKeyCreated: _KEY,
        m.ApiKeyRevoked: {"key_id": KEY_ID},
        m.ApiKeyRolled: {"key_id": KEY_ID, "successor_id": NEW_KEY_ID, "expires_at": None},
        m.ProcessorConfigured: {
            "config_id": CONFIG_ID,
            "processor": "stripe",
            "credentials": Sealed("sealed-credentials"),
            **_FLAGS,
            "webhook_endpoint_id": None,
            "retired_credentials": (),
            "retired_until": (),
        },
        m.ProcessorFlagsChanged: {"processor": "stripe", **_FLAGS},
        m.ProcessorRemoved: {"processor": "stripe"},
        inbox.ProcessorEventReceived: {
            "merchant_id": MERCHANT_ID,
            "processor": "stripe",
            "processor_event_id": "evt_1",
            "type": "payment_intent.succeeded",
            "order_id": ORDER_ID,
            "body": Sealed("sealed-body"),
        },
        inbox.ProcessorEventJudged: {"verdict": "processed", "reason": None, "order_id": ORDER_ID},
        inbox.ProcessorEventReprocessRequested: {},
        **webhook_specs.event_defaults(MERCHANT_ID, ORDER_ID),
        **checkout_specs.event_defaults(MERCHANT_ID),
    }
)

COMMAND_DEFAULTS: Final[Mapping[type, Mapping[str, Any]]] = MappingProxyType(
    {
        order_commands.CreateOrder: _TERMS,
        order_commands.StartPayment: {"options": BOTH_PROCESSORS, "payment_method_type": "card"},
        order_commands.RefundPayment: {"refund_id": REFUND_ID},
        reports.RecordProcessing: {"attempt": 1},
        reports.RecordActionRequired: {"attempt": 1, **_IDS, "redirect_url": Sealed("sealed-redirect-url")},
        reports.RecordAuthorized: {"attempt": 1, "amount": AMOUNT, **_IDS},
        reports.RecordCaptured: {"attempt": 1, "amount": AMOUNT, "surplus_refund_id": SURPLUS_REFUND_ID, **_IDS},
        reports.RecordFailed: {"attempt": 1, **_REFUSED, "decline_code": "generic_decline", **_IDS},
        reports.RecordVoided: {"attempt": 1, "processor_transaction_id": "pi_1"},
        reports.RecordOutcomeUnknown: {"attempt": 1, "operation": "payment", "reason": "timeout"},
        reports.RecordCaptureFailed: _REFUSED,
        reports.RecordCancelFailed: _REFUSED,
        reports.RecordRefundSucceeded: {"refund_id": REFUND_ID, "processor_refund_id": "re_1"},
        reports.RecordRefundFailed: {"refund_id": REFUND_ID, **_REFUSED, "processor_refund_id": "re_1"},
        reports.RecordRefundUnknown: {"refund_id": REFUND_ID, "reason": "timeout"},
        reports.RecordDiscoveredRefund: {
            "processor_refund_id": "re_9",
            "amount": 100,
            "status": "success",
        },
        reports.RecordCumulativeRefund: {"refunded_total": 400, "processor_transaction_id": "pi_1"},
        reports.RecordDispute: {
            "processor_dispute_id": "dp_1",
            "amount": AMOUNT,
            "status": "opened",
            "reason": "fraudulent",
            "processor_transaction_id": "pi_1",
        },
        reports.PublishEvent: {"event_type": "payment.captured"},
        reports.RecordStatus: {"surplus_refund_id": SURPLUS_REFUND_ID},
        reports.FinishSync: {"number": 1, "answers": ()},
        merchant_commands.RegisterMerchant: _ACCOUNT,
        merchant_commands.ChangePassword: {
            "password_hash": Sealed("sealed-new-password-hash"),
            "token_version": 0,
        },
        merchant_commands.RevokeTokens: {"token_version": 0},
        merchant_commands.CreateApiKey: _KEY,
        merchant_commands.RevokeApiKey: {"key_id": KEY_ID},
        merchant_commands.RollApiKey: {
            "key_id": KEY_ID,
            "new_key_id": NEW_KEY_ID,
            "public_id": "mnopqrstuvwx",
            "prefix": "sk_test_mnop",
            "secret_hash": Sealed("sealed-new-hash"),
        },
        merchant_commands.ConfigureProcessor: {
            "config_id": CONFIG_ID,
            "processor": "stripe",
            "credentials": Sealed("sealed-credentials"),
            **_FLAGS,
        },
        merchant_commands.ChangeProcessorFlags: {"processor": "stripe"},
        merchant_commands.RemoveProcessor: {"processor": "stripe"},
        **webhook_specs.command_defaults(),
        **checkout_specs.command_defaults(),
    }
)
TARGETS: Final = {
    "order_id": ORDER_ID,
    "merchant_id": MERCHANT_ID,
    "endpoint_id": webhook_specs.ENDPOINT_ID,
    "delivery_id": webhook_specs.DELIVERY_ID,
    "session_id": checkout_specs.SESSION_ID,
}
"""Ids that commands name, by the name of the field."""
