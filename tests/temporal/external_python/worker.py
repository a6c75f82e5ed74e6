"""A worker of somebody else: it serves stripe-payments and knows only the wire contract, nothing of this program.

TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and STRIPE_API_BASE say where; it prints "ready" and serves until SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    import aiohttp
    from temporalio.client import Client
    from temporalio.worker import Worker

BACKEND_QUEUE = "backend-operations"
STRIPE_QUEUE = "stripe-payments"
RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=20)
STATUS_OF_INTENT = {
    "succeeded": "captured",
    "requires_capture": "authorized",
    "requires_action": "requires_action",
    "processing": "processing",
    "canceled": "cancelled",
}

Json = dict[str, Any]


# ------------------------------------------------------------------------------------ Stripe, by this worker's own hand


@activity.defn(name="createIntent")
async def create_intent(told: Json) -> Json:
    form = {
        "amount": str(told["amount"]),
        "currency": told["currency"].lower(),
        "capture_method": told["captureMethod"],
        "payment_method": told["token"],
        "confirm": "true",
        "automatic_payment_methods[enabled]": "true",
        "metadata[order_id]": told["orderId"],
        "metadata[merchant_id]": told["merchantId"],
        "metadata[attempt]": str(told["attempt"]),
    }
    if told["returnUrl"] is None:
        form["automatic_payment_methods[allow_redirects]"] = "never"
    else:
        form["return_url"] = told["returnUrl"]
    key = f"external-{told['orderId']}-{told['attempt']}"
    return intent_of(*await call(told["secretKey"], "POST", "/v1/payment_intents", form, key))


@activity.defn(name="getIntent")
async def get_intent(told: Json) -> Json:
    return intent_of(*await call(told["secretKey"], "GET", f"/v1/payment_intents/{told['id']}"))


@activity.defn(name="createRefund")
async def create_refund(told: Json) -> Json:
    form = {
        "payment_intent": told["intentId"],
        "amount": str(told["amount"]),
        "metadata[refund_id]": told["refundId"],
        "metadata[order_id]": told["orderId"],
    }
    status, body = await call(told["secretKey"], "POST", "/v1/refunds", form, f"external-{told['refundId']}")
    if status != 200:
        raise ApplicationError(f"Stripe refused the refund: {status}", non_retryable=True)
    return {"id": body["id"], "status": body["status"]}


def intent_of(status: int, body: Json) -> Json:
    if status == 200:
        return {"id": body["id"], "status": body["status"], "errorCode": None, "errorMessage": None}
    error = body.get("error") or {}
    if status != 402 or "payment_intent" not in error:
        raise ApplicationError(f"Stripe answered {status}", non_retryable=True)
    code = error.get("code")
    return {
        "id": error["payment_intent"]["id"],
        "status": "failed",
        "errorCode": code,
        "errorMessage": error.get("message"),
    }


async def call(
    secret_key: str, method: str, path: str, form: dict[str, str] | None = None, key: str | None = None
) -> tuple[int, Json]:
    headers = {"Authorization": f"Bearer {secret_key}"} | ({} if key is None else {"Idempotency-Key": key})
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http,
        http.request(method, os.environ["STRIPE_API_BASE"] + path, data=form, headers=headers) as answer,
    ):
        if answer.status == 429 or answer.status >= 500:
            raise ApplicationError(f"Stripe answered {answer.status}")
        body: Json = await answer.json()
        return answer.status, body


# ------------------------------------------------------------------------------------------------------------ workflows


async def backend(name: str, **told: Any) -> Any:
    return await workflow.execute_activity(
        name, told, task_queue=BACKEND_QUEUE, start_to_close_timeout=timedelta(seconds=30), retry_policy=RETRY
    )


async def stripe(name: str, **told: Any) -> Json:
    done: Json = await workflow.execute_activity(
        name, told, start_to_close_timeout=timedelta(seconds=20), retry_policy=RETRY
    )
    return done


@workflow.defn(name="PaymentWorkflow")
class PaymentWorkflow:
    def __init__(self) -> None:
        self.completed: Json | None = None
        self.cancelled = False

    @workflow.signal(name="completePayment")
    def complete_payment(self, told: Json) -> None:
        self.completed = self.completed or told

    @workflow.signal(name="cancelPayment")
    def cancel_payment(self, _told: Json) -> None:
        self.cancelled = True

    def is_answered(self) -> bool:
        return self.completed is not None or self.cancelled

    @workflow.run
    async def run(self, told: Json) -> Json:
        config = await backend("getProcessorConfig", merchantId=told["merchantId"], processor=told["processor"])
        if config is None:
            return await self.finish(told, "failed", None, "not_configured")
        secret_key = config["credentials"]["secretKey"]
        intent = await stripe(
            "createIntent",
            secretKey=secret_key,
            token=(told["paymentMethod"] or {}).get("token") or "pm_card_visa",
            **{
                name: told[name]
                for name in ("orderId", "merchantId", "amount", "currency", "captureMethod", "returnUrl", "attempt")
            },
        )
        if intent["status"] == "requires_action":
            ids = {"processorOrderId": intent["id"], "processorTransactionId": intent["id"]}
            await backend("updateOrderStatus", orderId=told["orderId"], status="requires_action", **ids)
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(self.is_answered, timeout=timedelta(minutes=15))
            # What an event said is not believed before the processor was asked.
            intent = await stripe("getIntent", secretKey=secret_key, id=intent["id"])
            if self.cancelled or intent["status"] == "requires_action":
                return await self.finish(told, "cancelled", intent["id"])
            if intent["status"] == "requires_payment_method":
                code = (self.completed or {}).get("errorCode") or "authentication_failed"
                return await self.finish(told, "failed", intent["id"], code)
        status = STATUS_OF_INTENT.get(intent["status"], "failed")
        return await self.finish(told, status, intent["id"], intent["errorCode"], intent["errorMessage"])

    async def finish(
        self, told: Json, status: str, intent_id: str | None, code: str | None = None, message: str | None = None
    ) -> Json:
        report = {"processorOrderId": intent_id, "processorTransactionId": intent_id, "errorCode": code}
        given = {name: value for name, value in (report | {"errorMessage": message}).items() if value is not None}
        await backend("updateOrderStatus", orderId=told["orderId"], status=status, **given)
        order = await backend("getOrder", orderId=told["orderId"])
        if status == "captured":
            event = {"eventType": "payment.captured", "payload": {"externalId": order["externalId"]}}
            await backend("createWebhookEvent", merchantId=told["merchantId"], orderId=told["orderId"], **event)
        success = status in {"captured", "authorized"}
        return {"success": success, "status": order["status"], **report, "errorMessage": message}


@workflow.defn(name="RefundWorkflow")
class RefundWorkflow:
    @workflow.run
    async def run(self, told: Json) -> Json:
        config = await backend("getProcessorConfig", merchantId=told["merchantId"], processor=told["processor"])
        ids = {"refundId": told["refundId"], "orderId": told["orderId"]}
        if config is None or told["transactionId"] is None:
            await backend("updateRefundStatus", **ids, status="failed", errorCode="not_configured")
            return result_of_refund("failed", None, "not_configured")
        made = await stripe(
            "createRefund",
            secretKey=config["credentials"]["secretKey"],
            intentId=told["transactionId"],
            amount=told["amount"],
            **ids,
        )
        status = {"succeeded": "success", "failed": "failed"}.get(made["status"], "pending")
        await backend("updateRefundStatus", **ids, status=status, processorRefundId=made["id"])
        return result_of_refund(status, made["id"])


def result_of_refund(status: str, refund_id: str | None, code: str | None = None) -> Json:
    named = {"success": status == "success", "status": status, "processorRefundId": refund_id}
    return named | {"errorCode": code, "errorMessage": None}


async def main() -> None:
    client = await Client.connect(
        os.environ["TEMPORAL_ADDRESS"], namespace=os.environ.get("TEMPORAL_NAMESPACE", "loop")
    )
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with Worker(
        client,
        task_queue=STRIPE_QUEUE,
        workflows=[PaymentWorkflow, RefundWorkflow],
        activities=[create_intent, get_intent, create_refund],
        graceful_shutdown_timeout=timedelta(seconds=2),
    ):
        print("ready", flush=True)
        await stopping.wait()


if __name__ == "__main__":
    asyncio.run(main())
    # The SDK's own threads may still call into an interpreter that is being taken down; all is done here.
    sys.stdout.flush()
    os._exit(0)
