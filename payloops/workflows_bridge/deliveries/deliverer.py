"""The activity attemptDelivery: is the delivery still wanted, is it its turn, is its endpoint well? Then send, record.

An attempt is recorded after the answer, by one append. A crash between the two sends the event again, with the same id
and body: at least once. Called again after the record, the log says that nothing is due.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from yarl import URL

from payloops.commands.aggregates import WebhookDeliveries, WebhookEndpoints
from payloops.commands.handlers import CommandHandler, Companion
from payloops.commands.webhook_delivery import GiveUpDelivery, RecordAttempt, WebhookDeliveryRequest
from payloops.commands.webhook_endpoint import DisableEndpoint
from payloops.errors import NotFound, Unavailable
from payloops.events.base import Actor, Meta
from payloops.events.webhook_delivery_state import (
    Absent,
    Delivered,
    DeliveryFacts,
    Existing,
    Retrying,
    WebhookDeliveryState,
    has_ended,
)
from payloops.projections.personal_data import PersonalData
from payloops.projections.public_events import PublicEvents
from payloops.projections.webhook_deliveries import seal_response_body
from payloops.telemetry import span
from payloops.values import Clock, iso, new_id
from payloops.workflows_bridge.activities import Caller
from payloops.workflows_bridge.contract_activities import required_id
from payloops.workflows_bridge.contracts import WebhookDeliveryResult
from payloops.workflows_bridge.deliveries.bounds import Bounds
from payloops.workflows_bridge.deliveries.health import Health
from payloops.workflows_bridge.deliveries.outside import Errand, Outside
from payloops.workflows_bridge.deliveries.receivers import Receiver, Receivers
from payloops.workflows_bridge.deliveries.requests import request_headers
from payloops.workflows_bridge.deliveries.sender import Answer, Exhausted, Sender
from payloops.workflows_bridge.deliveries.verdicts import Judgement, judge
from payloops.workflows_bridge.machines.delivery import DeliveryAnswer, Met
from payloops.workflows_bridge.machines.schedule import CONTRACT_SCHEDULE, DeliverySchedule

EARLY_S: Final = 0.05
"""So much before its time an attempt may be made: the engine's clock and ours differ."""
EXHAUSTED_WAIT_S: Final = 5.0
CIRCUIT_SPREAD: Final = 0.1
"""Those that wait for an endpoint don't all come at the moment when one of them may try."""
RECORD_FOR_S: Final = 8.0
"""How long a record is tried again while the database is away: giving up means sending again."""
RECORD_PAUSE_S: Final = 0.25
GONE_REASON: Final = "the endpoint was removed or is disabled"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a deliverer works with."""

    handler: CommandHandler
    deliveries: WebhookDeliveries
    endpoints: WebhookEndpoints
    events: PublicEvents
    personal: PersonalData
    receivers: Receivers
    health: Health
    sender: Sender
    outside: Outside
    clock: Clock


class Deliverer:
    """See the module. ``chance`` gives numbers in 0 … 1."""

    def __init__(
        self,
        parts: Parts,
        *,
        schedule: DeliverySchedule = CONTRACT_SCHEDULE.delivery,
        bounds: Bounds | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._parts = parts
        self._schedule = schedule
        self._bounds = bounds or Bounds()
        self._chance = chance

    async def attempt(self, told: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        """The activity. Raises ContractViolation, NotFound, Unavailable."""
        if "deliveryId" not in told:
            return (await self._attempt_outside(told, caller)).to_json()
        delivery_id, merchant_id = required_id(told, "deliveryId"), required_id(told, "merchantId")
        state = await self._parts.handler.load(self._parts.deliveries, delivery_id)
        if isinstance(state, Absent) or state.facts.merchant_id != merchant_id:
            raise NotFound("No such webhook delivery.")
        # A call that is made again after its attempt was recorded is no call for another one.
        now = bool(told.get("now")) and state.facts.attempts <= int(told.get("attempts") or 0)
        return (await self._attempt(state, caller, now=now)).to_json()

    async def _attempt(self, state: Existing, caller: Caller, *, now: bool) -> DeliveryAnswer:
        facts = state.facts
        if has_ended(state) or facts.workflow_id != caller.workflow_id:
            # Ended; or it has gone on in another round, with a workflow of its own.
            return _ended(state)
        if isinstance(state, Retrying) and not now:
            early_s = (state.next_retry_at - self._parts.clock.now()).total_seconds()
            if early_s > EARLY_S:
                return self._answer(state)
        receiver = await self._parts.receivers.of_delivery(facts)
        if receiver is None:
            return await self._give_up(facts, caller)
        if receiver.others_first and not now:
            waited_s = (self._parts.clock.now() - facts.round_began_at).total_seconds()
            if waited_s < self._schedule.turn_wait_s:
                return DeliveryAnswer(Met.TURN, facts.attempts, self._schedule.turn_wait_s - waited_s)
        with self._bounds.room(str(facts.endpoint_id), _host(receiver.url)) as room:
            if not room:
                return DeliveryAnswer(Met.ROOM, facts.attempts, self._room_wait_s())
            return await self._attempt_if_well(facts, receiver, caller, now=now)

    async def _attempt_if_well(
        self, facts: DeliveryFacts, receiver: Receiver, caller: Caller, *, now: bool
    ) -> DeliveryAnswer:
        """What a person asked for is sent even while the endpoint is left alone."""
        probe = False
        if receiver.circuit_broken:
            probe = receiver.open_for_s <= 0 and await self._parts.health.claim_probe(
                facts.endpoint_id, receiver.version
            )
            asked_for = now or (facts.round > 1 and facts.attempts == facts.attempts_before)
            if not probe and not asked_for:
                return DeliveryAnswer(Met.CIRCUIT, facts.attempts, self._circuit_wait_s(receiver))
        try:
            return await self._send(facts, receiver, caller, probe=probe)
        except Exhausted:
            if probe:
                await self._parts.health.release_probe(facts.endpoint_id, receiver.version)
            return DeliveryAnswer(Met.ROOM, facts.attempts, EXHAUSTED_WAIT_S)

    def _room_wait_s(self) -> float:
        return self._schedule.room_wait_s * (1 + 2 * self._chance())

    def _circuit_wait_s(self, receiver: Receiver) -> float:
        if receiver.open_for_s > 0:
            return receiver.open_for_s * (1 + CIRCUIT_SPREAD * self._chance())
        return self._parts.health.limits.probe_look_s * (1 + self._chance())

    async def _send(self, facts: DeliveryFacts, receiver: Receiver, caller: Caller, *, probe: bool) -> DeliveryAnswer:
        body, started_at = await self._body(facts), self._parts.clock.now()
        attributes = {"webhook.event_type": facts.event_type, "webhook.delivery_id": str(facts.delivery_id)}
        with span("webhook attempt", kind="client", attributes=attributes) as step:
            headers = request_headers(
                str(facts.event_id),
                body,
                secrets=receiver.secrets,
                now=started_at,
                cause=facts.correlation_id or caller.correlation_id,
            )
            answer = await self._parts.sender.send(receiver.url, body, headers)
            step.set("http.response.status_code", answer.status_code or 0)
        judgement = judge(
            answer.status_code,
            answer.retry_after_s,
            earlier=facts.attempts - facts.attempts_before,
            schedule=self._schedule,
            chance=self._chance(),
        )
        disabled = await self._disabled(facts, receiver, judgement, probe=probe)
        record = await self._record_of(facts, answer, judgement, caller, started_at=started_at)
        state = await self._record(facts, record, caller, disabled)
        if judgement.verdict == "delivered" and (receiver.failures > 0 or receiver.circuit_broken):
            await self._parts.health.recovered(facts.endpoint_id)
        _log_attempt(facts, record, disabled)
        return self._answer(state)

    async def _body(self, facts: DeliveryFacts) -> bytes:
        if facts.payload is not None:
            return orjson.dumps(facts.payload)
        event = await self._parts.events.get(facts.event_id)
        if event is None or event.merchant_id != facts.merchant_id:
            raise NotFound("No such public event.")
        return event.body

    # ---------------------------------------------------------------------------------------------------------- records

    async def _record_of(
        self, facts: DeliveryFacts, answer: Answer, judgement: Judgement, caller: Caller, *, started_at: datetime
    ) -> RecordAttempt:
        now, attempt = self._parts.clock.now(), facts.attempts + 1
        sealed = None
        if answer.body:
            key = await self._parts.personal.key_for(facts.merchant_id)
            sealed = seal_response_body(key, facts.delivery_id, attempt, answer.body.decode("utf-8", "replace"))
        return RecordAttempt(
            facts.delivery_id,
            facts.merchant_id,
            now,
            _meta(caller),
            attempt=attempt,
            started_at=started_at,
            duration_ms=answer.duration_ms,
            status_code=answer.status_code,
            error=answer.error,
            response_body=sealed,
            verdict=judgement.verdict,
            next_attempt_at=_later(now, judgement.delay_s),
        )

    async def _disabled(
        self, facts: DeliveryFacts, receiver: Receiver, judgement: Judgement, *, probe: bool
    ) -> DisableEndpoint | None:
        """Count a failure; the command that disables an endpoint which is gone, or has only failed for a week."""
        if judgement.verdict == "delivered":
            return None
        failing = await self._parts.health.failed(facts.endpoint_id, receiver.version, probe=probe)
        if not (judgement.gone or failing):
            return None
        meta = Meta(new_id(), Actor("system", "deliveries"), facts.correlation_id, str(facts.delivery_id))
        return DisableEndpoint(
            facts.endpoint_id,
            facts.merchant_id,
            self._parts.clock.now(),
            meta,
            reason="gone" if judgement.gone else "failing",
        )

    async def _give_up(self, facts: DeliveryFacts, caller: Caller) -> DeliveryAnswer:
        command = GiveUpDelivery(
            facts.delivery_id, facts.merchant_id, self._parts.clock.now(), _meta(caller), reason=GONE_REASON
        )
        _log.info("webhook given up: %s", GONE_REASON, extra=_naming(facts))
        return self._answer(await self._record(facts, command, caller, None))

    async def _record(
        self,
        facts: DeliveryFacts,
        command: WebhookDeliveryRequest,
        caller: Caller,
        disabled: DisableEndpoint | None,
    ) -> Existing:
        """Into the log, and the endpoint's end with it. Raises Unavailable when the database stays away."""
        parts, give_up_at = self._parts, asyncio.get_running_loop().time() + RECORD_FOR_S
        also = [] if disabled is None else [Companion(parts.endpoints, facts.endpoint_id, disabled)]
        while True:
            try:
                executed = await parts.handler.execute(parts.deliveries, facts.delivery_id, command, also=also)
                return _existing(executed.state)
            except Unavailable:
                if asyncio.get_running_loop().time() >= give_up_at:
                    _log.warning("a webhook attempt of %s could not be recorded", caller.workflow_id)
                    raise
                await asyncio.sleep(RECORD_PAUSE_S)

    # ---------------------------------------------------------------------------------------------------------- answers

    def _answer(self, state: Existing) -> DeliveryAnswer:
        """What the log says of it now."""
        if not isinstance(state, Retrying):
            return _ended(state)
        left_s = (state.next_retry_at - self._parts.clock.now()).total_seconds()
        return DeliveryAnswer(Met.RETRY, state.facts.attempts, max(0.0, left_s))

    async def _attempt_outside(self, told: Mapping[str, Any], caller: Caller) -> DeliveryAnswer:
        """Of somebody else's start: it has an endpoint's URL and a body, and is in no table. The machine counts."""
        attempts, url = int(told.get("attempts") or 0), str(told["webhookUrl"])
        errand = Errand(str(told["webhookEventId"]), required_id(told, "merchantId"), url, told.get("payload"))
        with self._bounds.room(url, _host(url)) as room:
            if not room:
                return DeliveryAnswer(Met.ROOM, attempts, self._room_wait_s())
            try:
                answer = await self._parts.outside.send(errand, caller.correlation_id)
            except Exhausted:
                return DeliveryAnswer(Met.ROOM, attempts, EXHAUSTED_WAIT_S)
        judgement = judge(
            answer.status_code,
            answer.retry_after_s,
            earlier=attempts,
            schedule=self._schedule,
            chance=self._chance(),
        )
        if judgement.delay_s is not None:
            return DeliveryAnswer(Met.RETRY, attempts + 1, judgement.delay_s)
        result = WebhookDeliveryResult(
            success=answer.success,
            status=judgement.verdict,
            status_code=answer.status_code,
            attempts=attempts + 1,
            delivered_at=iso(self._parts.clock.now()) if answer.success else None,
            error_message=answer.error,
        )
        return DeliveryAnswer(Met.ENDED, attempts + 1, result=result.to_json())


def _ended(state: Existing) -> DeliveryAnswer:
    facts, delivered = state.facts, isinstance(state, Delivered)
    result = WebhookDeliveryResult(
        success=delivered,
        status="delivered" if delivered else "failed",
        status_code=facts.last_status_code,
        attempts=facts.attempts,
        delivered_at=iso(state.delivered_at) if isinstance(state, Delivered) else None,
        error_message=None if delivered else facts.last_error,
    )
    return DeliveryAnswer(Met.ENDED, facts.attempts, result=result.to_json())


def _existing(state: WebhookDeliveryState) -> Existing:
    if isinstance(state, Absent):
        raise NotFound("No such webhook delivery.")
    return state


def _later(now: datetime, delay_s: float | None) -> datetime | None:
    return None if delay_s is None else now + timedelta(seconds=delay_s)


def _host(url: str) -> str:
    """For counting only: the sender judges the URL."""
    try:
        return URL(url).raw_host or url
    except ValueError:
        return url


def _meta(caller: Caller) -> Meta:
    return Meta(
        command_id=new_id(),
        actor=Actor("workflow", caller.workflow_id),
        correlation_id=caller.correlation_id,
        traceparent=caller.traceparent,
    )


def _naming(facts: DeliveryFacts) -> dict[str, Any]:
    return {
        "deliveryId": str(facts.delivery_id),
        "endpointId": str(facts.endpoint_id),
        "merchantId": str(facts.merchant_id),
        "eventType": facts.event_type,
    }


def _log_attempt(facts: DeliveryFacts, record: RecordAttempt, disabled: DisableEndpoint | None) -> None:
    """One line, without address, secret or reply."""
    told = {"attempt": record.attempt, "statusCode": record.status_code, "durationMs": record.duration_ms}
    _log.info(
        "webhook attempt %d: %s (%s)",
        record.attempt,
        record.verdict,
        record.error or record.status_code,
        extra={**_naming(facts), **told},
    )
    if disabled is not None:
        _log.warning("a webhook endpoint is disabled: %s", disabled.reason, extra=_naming(facts))
