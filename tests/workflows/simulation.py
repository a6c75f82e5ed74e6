"""Orders, workflows and a processor in memory, in a time of their own: days in milliseconds.

The order's rules, the outbox's intents, the machines, the engine and the activities are the real ones; only the log,
the processor, the relay and the clock are models. What goes wrong is decided by the test.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Literal, TypeVar, cast
from uuid import UUID

from payloops.commands import order as oc
from payloops.commands import order_results as r
from payloops.commands.aggregates import OrderCommand, orders
from payloops.commands.handlers import CommandHandler, Executed
from payloops.errors import PayloopsError
from payloops.events import order as e
from payloops.events.base import Actor, Meta
from payloops.events.order_state import INITIAL, Captured, OrderState
from payloops.projections.personal_data import MerchantKey, PersonalData
from payloops.values import new_id
from payloops.workflows_bridge.accounts import Account, ProcessorAccounts
from payloops.workflows_bridge.activities import Activities, Caller
from payloops.workflows_bridge.contracts import SignalWorkflow, StartWorkflow
from payloops.workflows_bridge.engines.base import NotTaken, Run, Taken
from payloops.workflows_bridge.engines.embedded import EmbeddedEngine
from payloops.workflows_bridge.machines.registry import machines
from payloops.workflows_bridge.outbox import intents
from payloops.workflows_bridge.processors import base as p
from payloops.workflows_bridge.relay import TryLater
from payloops.workflows_bridge.untaken import DirectMoves

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
AMOUNT = 5000
MERCHANT = UUID(int=7)

T = TypeVar("T")
Fate = Literal["money", "declined", "action", "slow"]
Mishap = Literal["none", "lost_before", "lost_after", "busy", "refused"]


class Crash(Exception):
    """The process died in the middle of an activity."""


@dataclass
class Payment:
    """One payment at the modelled processor."""

    id: str
    fate: Fate
    manual: bool
    status: str
    captured: int = 0
    refunds: dict[UUID, int] = field(default_factory=dict)

    def authenticate(self, *, succeed: bool) -> None:
        if self.status in ("requires_action", "processing"):
            self._pay() if succeed else setattr(self, "status", "declined")

    def _pay(self) -> None:
        self.status = "requires_capture" if self.manual else "succeeded"
        self.captured = 0 if self.manual else AMOUNT


class Processor:
    """Answers by idempotency key as Stripe does: the first answer again, however stale. Mishaps befall its calls."""

    def __init__(self, fates: Mapping[int, Fate], mishaps: Iterator[Mishap]) -> None:
        self.payments: dict[int, Payment] = {}
        self.requests: dict[int, p.PaymentRequest] = {}
        self._fates = fates
        self._mishaps = mishaps
        self._answers: dict[object, Any] = {}

    async def create_payment(self, request: p.PaymentRequest) -> p.PaymentOutcome:
        first = self.requests.setdefault(request.attempt, request)
        assert first == request, "one attempt was asked for in two ways"

        def do() -> p.PaymentOutcome:
            fate = self._fates.get(request.attempt, "money")
            manual = request.capture_method == "manual"
            status = {"money": "new", "declined": "declined", "action": "requires_action", "slow": "processing"}[fate]
            payment = Payment(f"pi_{request.attempt}", fate, manual, status)
            self.payments[request.attempt] = payment
            if fate == "money":
                payment._pay()
            return self._outcome(payment)

        return self._call(("create", request.attempt), do, moves_money=True)

    async def get_payment(self, ref: p.PaymentRef) -> p.PaymentOutcome:
        return self._call(None, lambda: self._found(ref), moves_money=False)

    async def capture_payment(self, ref: p.PaymentRef, amount: int) -> p.PaymentOutcome:
        def do() -> p.PaymentOutcome:
            payment = self.payments.get(ref.attempt)
            if payment is not None and payment.status == "requires_capture":
                payment.status, payment.captured = "succeeded", amount
            return self._found(ref)

        return self._call(("capture", ref.attempt), do, moves_money=True)

    async def cancel_payment(self, ref: p.PaymentRef) -> p.PaymentOutcome:
        def do() -> p.PaymentOutcome:
            payment = self.payments.get(ref.attempt)
            if payment is not None and payment.status in ("requires_action", "requires_capture"):
                payment.status = "canceled"
            return self._found(ref)

        return self._call(None, do, moves_money=True)

    async def list_refunds(self, ref: p.PaymentRef) -> p.RefundListing:
        def do() -> p.RefundList:
            refunds = self.payments[ref.attempt].refunds.items()
            listed = (p.ListedRefund(f"re_{refund_id}", refund_id, amount, "success") for refund_id, amount in refunds)
            return p.RefundList(tuple(listed), complete=True)

        return self._call(None, do, moves_money=False)

    async def list_disputes(self, ref: p.PaymentRef) -> p.DisputeListing:  # noqa: ARG002 - nobody disputes here
        return self._call(None, lambda: p.DisputeList((), complete=True), moves_money=False)

    async def create_refund(
        self,
        *,
        refund_id: UUID,
        ref: p.PaymentRef,
        amount: int,
        reason: str | None,  # noqa: ARG002 - the port
    ) -> p.RefundOutcome:
        def do() -> p.RefundOutcome:
            payment = self.payments[ref.attempt]
            if sum(payment.refunds.values()) + amount > payment.captured:
                return p.RefundRejected(None, "charge_already_refunded", "Nothing is left.")
            payment.refunds[refund_id] = amount
            return p.RefundSucceeded(f"re_{refund_id}", amount)

        return self._call(("refund", refund_id), do, moves_money=True)

    async def get_refund(
        self,
        *,
        refund_id: UUID,
        processor_refund_id: str | None,  # noqa: ARG002 - the port
        ref: p.PaymentRef,
    ) -> p.RefundOutcome:
        def do() -> p.RefundOutcome:
            amount = self.payments[ref.attempt].refunds.get(refund_id)
            return p.RefundNotFound() if amount is None else p.RefundSucceeded(f"re_{refund_id}", amount)

        return self._call(None, do, moves_money=False)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _call(self, key: object, do: Callable[[], T], *, moves_money: bool) -> T | p.Trouble:
        mishap = next(self._mishaps, "none")
        if mishap == "busy" or (mishap in ("lost_before", "lost_after") and not moves_money):
            return p.Retryable("busy", 1)
        if mishap == "refused":
            return p.Misconfigured("authentication_error", "Wrong key.")
        if mishap == "lost_before":
            return p.Unknown("lost")
        answer: T | None = self._answers.get(key) if key is not None else None
        if answer is None:
            answer = do()
            if key is not None:
                self._answers[key] = answer
        return p.Unknown("lost") if mishap == "lost_after" else answer

    def _found(self, ref: p.PaymentRef) -> p.PaymentOutcome:
        payment = self.payments.get(ref.attempt)
        return p.NotFound() if payment is None else self._outcome(payment)

    def _outcome(self, payment: Payment) -> p.PaymentOutcome:
        ids = (payment.id, payment.id)
        match payment.status:
            case "succeeded":
                return p.Captured(*ids, payment.captured)
            case "requires_capture":
                return p.Authorized(*ids, AMOUNT)
            case "requires_action":
                return p.ActionRequired(*ids, "https://bank.example/3ds")
            case "processing":
                return p.StillProcessing(*ids)
            case "canceled":
                return p.Voided(*ids)
            case _:
                return p.Declined(*ids, "card_declined", "do_not_honor", "The card was declined.")


@dataclass
class Row:
    """An outbox row."""

    key: str
    kind: str
    payload: Mapping[str, Any]
    tries: int = 0


@dataclass
class Hand:
    """See engines.base.Work."""

    key: str
    run: Run | None
    clock: Callable[[], float]
    repeated: bool
    correlation_id: str = "c"
    traceparent: str | None = None

    def now_s(self) -> float:
        return self.clock()

    def require_lease(self) -> None:
        """Ours for ever."""


class Simulation:
    """One order. ``crashes`` says at which activity calls (counted from 0) the process dies, before or after it."""

    def __init__(
        self, fates: Mapping[int, Fate], mishaps: Iterator[Mishap], crashes: Mapping[int, str], **terms: Any
    ) -> None:
        self.now = 0.0
        self.order_id = new_id()
        self.state: OrderState = INITIAL
        self.events: list[e.OrderEvent] = []
        self.processor = Processor(fates, mishaps)
        self.runs: dict[str, Run] = {}
        self._aggregate = orders()
        self._due: list[tuple[float, int, Row | Callable[[], None]]] = []
        self._stuck: dict[str, tuple[Row, float]] = {}
        self._seq = count()
        self._crashes = crashes
        self._calls = count()
        self.records: list[str] = []
        activities = _Activities(self)
        self._engine = EmbeddedEngine(machines(), cast("Activities", activities))
        self._untaken = DirectMoves(activities.real)
        self.execute(self.command(oc.CreateOrder, MERCHANT, True, AMOUNT, "USD", "cart", **terms))

    # --------------------------------------------------------------------------------------------------------- commands

    def command(self, kind: Callable[..., OrderCommand], *values: Any, **more: Any) -> OrderCommand:
        """A command of this order, now."""
        meta = Meta(new_id(), Actor("system", "test"), "c")
        return kind(self.order_id, EPOCH + timedelta(seconds=self.now), meta, *values, **more)

    def execute(self, command: OrderCommand) -> None:
        """Decide, fold, and put the effects into the outbox. Raises what ``decide`` raises."""
        for event in self._aggregate.decide(command, self.state):
            after = self._aggregate.evolve(self.state, event)
            for row in intents(self.state, event, cast("Any", after)):
                self._push(self.now, Row(row["key"], row["kind"], row["payload"]))
            self.state = after
            self.events.append(event)

    def request(self, kind: Callable[..., OrderCommand], *values: Any, **more: Any) -> bool:
        """As a merchant asks; a refusal is an answer too."""
        try:
            self.execute(self.command(kind, *values, **more))
        except PayloopsError:
            return False
        return True

    def pay(self, token: str) -> bool:
        option = oc.ProcessorOption("stripe", enabled=True, priority=1, test_mode=True)
        return self.request(oc.StartPayment, (option,), payment_method_token=token)

    def webhook(self, attempt: int) -> None:
        """The processor's word on an attempt, straight into the order: it may come at any time."""
        payment = self.processor.payments.get(attempt)
        if payment is None:
            return
        ids = {"processor_order_id": payment.id, "processor_transaction_id": payment.id}
        match payment.status:
            case "succeeded":
                self.request(r.RecordCaptured, attempt, payment.captured, UUID(int=attempt), **ids)
            case "requires_capture":
                self.request(r.RecordAuthorized, attempt, AMOUNT, **ids)
            case "declined":
                self.request(r.RecordFailed, attempt, "card_declined", "Declined.", **ids)
            case _:
                return

    def signal(self, name: str, attempt: int) -> None:
        """Tell an attempt's workflow."""
        key = f"payment-{self.order_id}" if attempt == 1 else f"payment-{self.order_id}-{attempt}"
        told = SignalWorkflow(key, name, {}, str(MERCHANT), str(self.order_id), attempt)
        self._push(self.now, Row(key, "signal", told.to_json()))

    def at(self, time_s: float, do: Callable[[], None]) -> None:
        """Something happens at that time."""
        heapq.heappush(self._due, (time_s, next(self._seq), do))

    # ------------------------------------------------------------------------------------------------------------ relay

    async def run(self, until_s: float) -> None:
        """Live on until then."""
        while self._due and self._due[0][0] <= until_s:
            due_s, _, what = heapq.heappop(self._due)
            self.now = max(self.now, due_s)
            if isinstance(what, Row):
                await self._dispatch(what)
            else:
                what()
        self.now = until_s

    def _push(self, due_s: float, row: Row) -> None:
        heapq.heappush(self._due, (due_s, next(self._seq), row))

    async def _dispatch(self, row: Row) -> None:
        stuck = self._stuck.get(row.key)
        if stuck is not None and stuck[0] is not row:
            # A row that was tried before holds up the others of its key.
            self._push(stuck[1], row)
            return
        hand = Hand(row.key, self.runs.get(row.key), lambda: self.now, row.tries > 0)
        try:
            taken = await self._perform(row, hand)
        except (Crash, TryLater) as problem:
            row.tries += 1
            assert row.tries < 50
            again_s = self.now + (problem.delay_s if isinstance(problem, TryLater) else 10.0)
            self._stuck[row.key] = (row, again_s)
            self._push(again_s, row)
            return
        self._stuck.pop(row.key, None)
        advance = taken.advance
        if advance is None:
            return
        version = advance.expected_version + 1
        self.runs[row.key] = Run(advance.type, advance.state, version, advance.finished)
        assert advance.finished != (advance.wake_at_s is not None), "it has ended, or it waits for a time"
        if advance.wake_at_s is not None:
            assert advance.wake_at_s > self.now, "a wait takes time"
            self._push(advance.wake_at_s, Row(row.key, "wake", {"version": version}))

    async def _perform(self, row: Row, hand: Hand) -> Taken:
        match row.kind:
            case "start":
                return await self._engine.start(StartWorkflow.from_json(row.payload), hand)
            case "wake":
                return await self._engine.wake(row.payload["version"], hand)
            case _:
                signal = SignalWorkflow.from_json(row.payload)
                answer = await self._engine.signal(signal, hand)
                if isinstance(answer, NotTaken):
                    await self._untaken(signal, hand)
                    return Taken()
                return answer

    @property
    def pending(self) -> list[Run]:
        """Workflows that have not ended."""
        return [run for run in self.runs.values() if not run.finished]

    @property
    def taken(self) -> int:
        """What the order says was captured, surplus payments included."""
        if not isinstance(self.state, Captured):
            return 0
        return self.state.captured + sum(s.amount for s in self.state.facts.surplus if s.refund is not None)


class _Activities:
    """The real activities over the models; the process may die before or after any of them."""

    def __init__(self, world: Simulation) -> None:
        self._world = world
        self.real = Activities(
            handler=cast("CommandHandler", _Handler(world)),
            orders=orders(),
            accounts=cast("ProcessorAccounts", _Accounts(world)),
            personal=cast("PersonalData", _Personal()),
            clock=_Clock(world),
        )

    async def call(self, name: str, told: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        when = self._world._crashes.get(next(self._world._calls))
        if when == "before":
            raise Crash
        if "report" in told:
            self._world.records.append(told["report"])
            self._no_failure_of_money(told)
        result = await self.real.call(name, told, caller)
        if when == "after":
            raise Crash
        return result

    def _no_failure_of_money(self, told: Mapping[str, Any]) -> None:
        if told["report"] in ("failed", "voided") and "attempt" in told:
            payment = self._world.processor.payments.get(told["attempt"])
            assert payment is None or payment.status in ("declined", "canceled"), "a failure was made of a doubt"


@dataclass
class _Handler:
    world: Simulation

    async def load(self, _aggregate: object, _stream: UUID) -> OrderState:
        return self.world.state

    async def execute(self, _aggregate: object, _stream: UUID, command: OrderCommand) -> Executed[OrderState]:
        self.world.execute(command)
        return Executed(self.world.state, (), None, None)


@dataclass
class _Accounts:
    world: Simulation

    async def account(self, _merchant: UUID, _processor: str) -> Account:
        return Account(self.world.processor, "account")


class _Personal:
    async def key_for(self, merchant_id: UUID) -> MerchantKey:
        return MerchantKey(merchant_id, None)


@dataclass
class _Clock:
    world: Simulation

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.world.now)
