"""Single decisions of the machines that whole payments rarely come to."""

from __future__ import annotations

from typing import Any

import pytest

from payloops.workflows_bridge.contracts import ContractViolation, WorkflowType
from payloops.workflows_bridge.machines.base import (
    ActivityDone,
    CallActivity,
    DueTime,
    Finish,
    Machine,
    SignalReceived,
    Step,
    UnreadableState,
    WakeAt,
)
from payloops.workflows_bridge.machines.registry import machines
from payloops.workflows_bridge.machines.results import Activity, Outcome, Told
from payloops.workflows_bridge.machines.schedule import Schedule

OPERATION = {"orderId": "o", "merchantId": "m", "processor": "stripe", "transactionId": "pi_1", "amount": 700}
REFUND = {**OPERATION, "refundId": "r", "reason": None}
PAYMENT = {
    "orderId": "o",
    "merchantId": "m",
    "amount": 900,
    "currency": "USD",
    "captureMethod": "automatic",
    "returnUrl": None,
    "processor": "stripe",
    "paymentMethod": None,
    "attempt": 1,
}
TOLD = {
    WorkflowType.PAYMENT: PAYMENT,
    WorkflowType.CAPTURE: OPERATION,
    WorkflowType.VOID: OPERATION,
    WorkflowType.REFUND: REFUND,
}
NO_RETRIES = Schedule(quick_retries_s=())

LOST = Outcome(Told.UNKNOWN, reason="lost")
BUSY = Outcome(Told.RETRYABLE, reason="busy")
REFUSED_KEY = Outcome(Told.MISCONFIGURED, code="authentication_error", message="Wrong key.")
DECLINED = Outcome(Told.DECLINED, code="card_declined", message="No.")
HELD = Outcome(Told.AUTHORIZED, processor_transaction_id="pi_1", amount=900)
TAKEN = Outcome(Told.CAPTURED, processor_transaction_id="pi_1", amount=700)
VOID = Outcome(Told.VOIDED, processor_transaction_id="pi_1")
WAITS = Outcome(Told.ACTION_REQUIRED, processor_order_id="pi_1", processor_transaction_id="pi_1")
WORKS = Outcome(Told.PROCESSING, processor_order_id="pi_1", processor_transaction_id="pi_1")
NOWHERE = Outcome(Told.NOT_FOUND)
RECORDED = {"status": "x"}


class Run:
    """A machine and where it is; a second passes with each answer."""

    def __init__(self, workflow: WorkflowType, schedule: Schedule = NO_RETRIES) -> None:
        self.machine: Machine[Any] = machines(schedule)[workflow]
        self.now = 0.0
        self.step: Step[Any] = self.machine.start(TOLD[workflow], self.now)

    def answer(self, *outcomes: Outcome | dict[str, Any]) -> Run:
        """The activities that it calls answer so, one after the other."""
        for outcome in outcomes:
            effect = self.step.effect
            assert isinstance(effect, CallActivity), effect
            result = outcome.to_json() if isinstance(outcome, Outcome) else outcome
            self.now += 1
            self._advance(ActivityDone(effect.name, result, self.now))
        return self

    def wake(self) -> Run:
        """The time that it waits for comes."""
        assert isinstance(self.step.effect, WakeAt), self.step.effect
        self.now = self.step.effect.at_s
        self._advance(DueTime(self.now))
        return self

    def signal(self, name: str) -> Run:
        self._advance(SignalReceived(name, {}, self.now))
        return self

    def _advance(self, event: ActivityDone | DueTime | SignalReceived) -> None:
        before = self.machine.restore(self.machine.save(self.step.state))
        assert before == self.step.state
        self.step = self.machine.advance(before, event)

    @property
    def called(self) -> str:
        assert isinstance(self.step.effect, CallActivity), self.step.effect
        return self.step.effect.name

    @property
    def report(self) -> str:
        """What it records."""
        assert isinstance(self.step.effect, CallActivity), self.step.effect
        return str(self.step.effect.payload["report"])

    @property
    def result(self) -> dict[str, Any]:
        assert isinstance(self.step.effect, Finish), self.step.effect
        return self.step.effect.result


@pytest.mark.parametrize(
    ("workflow", "answer", "report"),
    (
        (WorkflowType.CAPTURE, TAKEN, "captured"),
        (WorkflowType.CAPTURE, VOID, "voided"),
        (WorkflowType.CAPTURE, DECLINED, "capture_failed"),
        (WorkflowType.CAPTURE, HELD, "capture_failed"),
        (WorkflowType.CAPTURE, NOWHERE, "capture_failed"),
        (WorkflowType.CAPTURE, REFUSED_KEY, "capture_failed"),
        (WorkflowType.CAPTURE, LOST, "outcome_unknown"),
        (WorkflowType.CAPTURE, BUSY, "outcome_unknown"),
        (WorkflowType.VOID, VOID, "voided"),
        (WorkflowType.VOID, TAKEN, "captured"),
        (WorkflowType.VOID, DECLINED, "cancel_failed"),
        (WorkflowType.VOID, WAITS, "cancel_failed"),
        (WorkflowType.VOID, NOWHERE, "cancel_failed"),
        (WorkflowType.VOID, LOST, "outcome_unknown"),
        (WorkflowType.REFUND, Outcome(Told.REFUNDED, processor_refund_id="re_1", amount=700), "success"),
        (WorkflowType.REFUND, Outcome(Told.REFUND_REJECTED, code="c", message="m"), "failed"),
        (WorkflowType.REFUND, REFUSED_KEY, "failed"),
        (WorkflowType.REFUND, LOST, "outcome_unknown"),
        (WorkflowType.REFUND, BUSY, "outcome_unknown"),
        (WorkflowType.PAYMENT, TAKEN, "captured"),
        (WorkflowType.PAYMENT, HELD, "authorized"),
        (WorkflowType.PAYMENT, DECLINED, "failed"),
        (WorkflowType.PAYMENT, REFUSED_KEY, "failed"),
        (WorkflowType.PAYMENT, VOID, "voided"),
        (WorkflowType.PAYMENT, WAITS, "action_required"),
        (WorkflowType.PAYMENT, NOWHERE, "outcome_unknown"),
        (WorkflowType.PAYMENT, LOST, "outcome_unknown"),
    ),
)
def test_what_the_first_answer_means(workflow: WorkflowType, answer: Outcome, report: str) -> None:
    assert Run(workflow).answer(answer).report == report


@pytest.mark.parametrize("workflow", (WorkflowType.CAPTURE, WorkflowType.VOID, WorkflowType.REFUND))
@pytest.mark.parametrize("later", (REFUSED_KEY, BUSY))
def test_in_doubt_nothing_but_an_answer_decides(workflow: WorkflowType, later: Outcome) -> None:
    run = Run(workflow).answer(LOST, RECORDED)
    for _ in range(8):
        run.wake().answer(later)
        assert isinstance(run.step.effect, WakeAt)


@pytest.mark.parametrize("workflow", (WorkflowType.CAPTURE, WorkflowType.VOID, WorkflowType.PAYMENT))
def test_a_call_that_was_made_before_makes_a_refused_key_a_doubt(workflow: WorkflowType) -> None:
    repeated = {**REFUSED_KEY.to_json(), "repeated": True}
    assert Run(workflow).answer(repeated).report == "outcome_unknown"


def test_a_lost_capture_that_did_nothing_is_made_again() -> None:
    run = Run(WorkflowType.CAPTURE).answer(LOST, RECORDED).wake().answer(HELD)
    assert run.called == Activity.CAPTURE
    assert run.answer(TAKEN, RECORDED).result["success"] is True


def test_a_capture_that_the_processor_works_on_is_waited_for() -> None:
    run = Run(WorkflowType.CAPTURE).answer(WORKS)
    assert run.wake().answer(WORKS).wake().answer(TAKEN).report == "captured"


def test_a_payment_found_declined_holds_nothing() -> None:
    run = Run(WorkflowType.VOID).answer(LOST, RECORDED).wake().answer(DECLINED)
    assert run.report == "voided"
    assert run.answer(RECORDED).result["status"] == "cancelled"


def test_a_refused_operation_says_so_in_its_result() -> None:
    result = Run(WorkflowType.CAPTURE).answer(DECLINED, RECORDED).result
    assert (result["success"], result["errorCode"], result["processorTransactionId"]) == (
        False,
        "card_declined",
        "pi_1",
    )


def test_an_obsolete_workflow_ends_without_a_word() -> None:
    run = Run(WorkflowType.REFUND).answer(Outcome(Told.OBSOLETE, code="refunded"))
    assert run.result == {"success": False, "status": "refunded"}


def test_a_lost_refund_that_did_nothing_is_made_again_within_a_day() -> None:
    run = Run(WorkflowType.REFUND).answer(LOST, RECORDED).wake().answer(NOWHERE)
    assert run.called == Activity.REFUND
    run.answer(LOST)
    run.now += 24 * 3600
    run.step = run.machine.advance(run.step.state, DueTime(run.now))
    assert run.answer(NOWHERE).report == "failed"
    assert run.answer(RECORDED).result["errorCode"] == "refund_not_found"


def test_a_refund_that_vanished_is_asked_for_on() -> None:
    run = Run(WorkflowType.REFUND).answer(Outcome(Told.REFUND_PENDING, processor_refund_id="re_1"))
    assert run.wake().answer(NOWHERE).report == "outcome_unknown"


@pytest.mark.parametrize("workflow", (WorkflowType.REFUND, WorkflowType.PAYMENT))
def test_another_account_can_not_know(workflow: WorkflowType) -> None:
    run = Run(workflow).answer({**LOST.to_json(), "account": "old"}, RECORDED)
    run.wake().answer({**NOWHERE.to_json(), "account": "new"})
    assert isinstance(run.step.effect, WakeAt)
    assert run.wake().answer({**NOWHERE.to_json(), "account": "old"}).called in (Activity.CHARGE, Activity.REFUND)


def test_what_does_not_fit_the_order_is_asked_for_on() -> None:
    """An amount that the order can't have is refused by the order: a person must look."""
    run = Run(WorkflowType.PAYMENT).answer(TAKEN, {"refused": "amount_mismatch"})
    assert run.report == "outcome_unknown"
    run.answer(RECORDED).wake().answer(TAKEN, {"refused": "amount_mismatch"})
    assert isinstance(run.step.effect, WakeAt)


def test_held_money_of_an_automatic_order_is_taken() -> None:
    run = Run(WorkflowType.PAYMENT).answer(HELD, {"status": "authorized", "current": True})
    assert run.called == Activity.CAPTURE
    run.answer(DECLINED)
    assert run.report == "outcome_unknown"
    assert (
        run.answer(RECORDED).wake().answer(HELD, {"status": "authorized", "current": True}).called == Activity.CAPTURE
    )
    assert run.answer(HELD).step.effect.__class__ is WakeAt


def test_held_money_that_the_order_does_not_want_is_left() -> None:
    run = Run(WorkflowType.PAYMENT).answer(HELD, {"status": "cancelled", "current": False})
    assert run.result["status"] == "authorized"


def test_a_customer_who_has_acted_is_waited_for_no_longer() -> None:
    run = Run(WorkflowType.PAYMENT).answer(WAITS, RECORDED).wake().answer(WORKS)
    assert run.report == "processing"
    run.answer(RECORDED).wake().answer(WORKS)
    assert isinstance(run.step.effect, WakeAt)
    assert run.wake().answer(WAITS).report == "action_required"


def test_a_payment_that_can_not_be_cancelled_goes_on() -> None:
    run = Run(WorkflowType.PAYMENT).answer(WAITS, RECORDED).signal("cancelPayment")
    assert run.called == Activity.CANCEL
    assert run.answer(WORKS).report == "cancel_failed"
    run.answer(RECORDED)
    assert isinstance(run.step.effect, WakeAt)
    run.signal("cancelPayment").answer(DECLINED)
    assert run.report == "cancel_failed"


def test_a_customer_who_can_not_be_given_up_is_asked_about_on() -> None:
    run = Run(WorkflowType.PAYMENT).answer(WAITS, RECORDED)
    for _ in range(4):
        run.wake().answer(WAITS)
    assert run.called == Activity.CANCEL
    assert run.answer(WORKS).report == "outcome_unknown"
    run.answer(RECORDED).wake().answer(WAITS)
    assert run.called == Activity.CANCEL
    assert run.answer(VOID).report == "failed"


def test_a_known_payment_that_vanished_is_asked_for_on() -> None:
    run = Run(WorkflowType.PAYMENT).answer(WAITS, RECORDED).wake().answer(NOWHERE)
    assert run.report == "outcome_unknown"


def test_signals_during_a_call_are_heeded_after_it() -> None:
    run = Run(WorkflowType.PAYMENT).signal("completePayment").signal("unheard-of")
    assert run.called == Activity.CHARGE
    run.answer(WAITS, RECORDED)
    assert run.called == Activity.ASK
    run.signal("cancelPayment")
    assert run.called == Activity.ASK
    assert run.answer(WAITS).called == Activity.CANCEL


def test_a_cancel_during_the_record_of_the_wait_is_heeded_after_it() -> None:
    run = Run(WorkflowType.PAYMENT).answer(WAITS).signal("cancelPayment").answer(RECORDED)
    assert run.called == Activity.CANCEL


def test_a_cancel_of_a_charge_in_doubt_asks_first() -> None:
    run = Run(WorkflowType.PAYMENT).answer(LOST, RECORDED).signal("cancelPayment")
    assert run.called == Activity.ASK
    assert run.answer(NOWHERE).report == "voided"
    other = Run(WorkflowType.PAYMENT).answer(LOST, RECORDED).signal("cancelPayment")
    assert other.answer(BUSY).step.effect.__class__ is WakeAt
    assert other.wake().answer(WAITS).called == Activity.CANCEL


def test_a_charge_that_surely_was_not_made_is_cancelled_at_once() -> None:
    run = Run(WorkflowType.PAYMENT, Schedule()).answer(BUSY).signal("cancelPayment")
    assert run.report == "voided"


def test_only_payments_take_signals() -> None:
    run = Run(WorkflowType.CAPTURE).answer(LOST, RECORDED)
    before = run.step
    assert run.signal("cancelPayment").step == before


def test_quick_retries_heed_the_processors_own_pause() -> None:
    run = Run(WorkflowType.REFUND, Schedule(quick_retries_s=(0.5, 1.0)))
    run.answer(Outcome(Told.RETRYABLE, retry_after_s=7))
    assert run.step.effect == WakeAt(run.now + 7)
    run.wake().answer(BUSY)
    assert run.step.effect == WakeAt(run.now + 1.0)
    assert run.wake().called == Activity.REFUND
    assert run.answer(BUSY).report == "outcome_unknown"


@pytest.mark.parametrize("workflow", tuple(TOLD))
def test_what_comes_late_or_twice_changes_nothing(workflow: WorkflowType) -> None:
    run = Run(workflow)
    machine, step = run.machine, run.step
    assert machine.advance(step.state, ActivityDone("another", {}, 1)) == step
    assert machine.advance(step.state, DueTime(1)) == step
    run.answer(LOST, RECORDED)
    waiting = run.step
    assert machine.advance(waiting.state, ActivityDone(Activity.CHARGE, {}, 2)) == waiting
    assert machine.advance(waiting.state, DueTime(run.now)) == waiting
    ended = run.wake().answer(Outcome(Told.OBSOLETE)).step
    for late in (DueTime(9e9), SignalReceived("cancelPayment", {}, 9e9), ActivityDone("askPayment", {}, 9e9)):
        assert machine.advance(ended.state, late) == ended


@pytest.mark.parametrize("workflow", tuple(TOLD))
def test_states_of_another_form_are_refused(workflow: WorkflowType) -> None:
    run = Run(workflow)
    saved = run.machine.save(run.step.state)
    assert saved["v"] == 1
    for spoilt in ({**saved, "v": 2}, {**saved, "unknown": 1}, {"v": 1}, {}):
        with pytest.raises(UnreadableState):
            run.machine.restore(spoilt)


@pytest.mark.parametrize("workflow", tuple(TOLD))
def test_inputs_that_lack_something_are_refused(workflow: WorkflowType) -> None:
    with pytest.raises(ContractViolation, match="is missing"):
        machines()[workflow].start({}, 0)


def test_secrets_are_not_shown() -> None:
    machine = machines()[WorkflowType.PAYMENT]
    step = machine.start({**PAYMENT, "paymentMethod": {"type": "card", "token": "tok_visible"}}, 0)
    assert "tok_visible" not in repr(step)
    assert "pi_secret" not in repr(Outcome(Told.ACTION_REQUIRED, client_secret="pi_secret"))
