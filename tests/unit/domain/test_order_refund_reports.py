"""What follows from reports of refunds, ours and those made at the processor. Each is booked once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from payloops.commands.order import REFUNDS_MAX, RefundPayment
from payloops.commands.order_refund_results import discovered_refund_id
from payloops.commands.order_reports import (
    RecordDiscoveredRefund,
    RecordRefundFailed,
    RecordRefundSucceeded,
    RecordRefundUnknown,
)
from payloops.errors import AmountMismatch, InvalidStatus, NotFound
from payloops.events.base import Event
from payloops.events.order import (
    RefundDiscovered,
    RefundFailed,
    RefundIdentified,
    RefundOutcomeUnknown,
    RefundRequested,
    RefundSucceeded,
)
from payloops.events.order_state import status
from tests.spec import AUTHORIZED, CAPTURED, ORDER_ID, REFUND_ID, command, event, given

FOUND_ID = discovered_refund_id(ORDER_ID, "re_9")
"""The id that a discovered refund gets."""
ASKED = (*CAPTURED, event(RefundRequested, amount=400))
DONE = (*ASKED, event(RefundSucceeded))
CALL_FAILED = (*ASKED, event(RefundFailed, processor_refund_id=None))


class TestOurRefund:
    def test_it_succeeds(self) -> None:
        given(*ASKED).when(command(RecordRefundSucceeded)).then(event(RefundSucceeded)).then_state(
            lambda state: status(state) == "partially_refunded" and state.refunded == 400
        )

    def test_all_of_it_back_is_refunded(self) -> None:
        given(*CAPTURED, event(RefundRequested)).when(command(RecordRefundSucceeded)).then_state(
            lambda state: status(state) == "refunded"
        )

    def test_it_fails_and_its_amount_is_free_again(self) -> None:
        given(*ASKED).when(command(RecordRefundFailed)).then(event(RefundFailed)).then_state(
            lambda state: state.refundable == 1000
        )

    def test_no_answer_leaves_it_pending_in_doubt(self) -> None:
        given(*ASKED).when(command(RecordRefundUnknown)).then(event(RefundOutcomeUnknown)).then_state(
            lambda state: state.refunds[REFUND_ID].outcome_unknown and state.refunds[REFUND_ID].status == "pending"
        )

    @pytest.mark.parametrize("report", [RecordRefundSucceeded, RecordRefundFailed])
    def test_a_doubt_ends_with_the_outcome(self, report: type[Any]) -> None:
        given(*ASKED, event(RefundOutcomeUnknown)).when(command(report)).then_state(
            lambda state: not state.refunds[REFUND_ID].outcome_unknown
        )

    @pytest.mark.parametrize("report", [RecordRefundSucceeded, RecordRefundFailed, RecordRefundUnknown])
    def test_the_same_report_again_changes_nothing(self, report: type[Any]) -> None:
        asked = command(report)
        given(*ASKED).when(asked, asked).then_nothing()

    def test_a_doubt_after_the_outcome_is_none(self) -> None:
        given(*DONE).when(command(RecordRefundUnknown)).then_nothing()

    @pytest.mark.parametrize("history", [CAPTURED, AUTHORIZED])
    @pytest.mark.parametrize("report", [RecordRefundSucceeded, RecordRefundFailed, RecordRefundUnknown])
    def test_a_refund_that_never_was_is_not_found(self, history: tuple[Event, ...], report: type[Any]) -> None:
        given(*history).when(command(report)).then_raises(NotFound)


class TestContradictingReports:
    def test_a_refund_that_fails_after_its_success_has_failed(self) -> None:
        given(*DONE).when(command(RecordRefundFailed)).then(event(RefundFailed)).then_state(
            lambda state: status(state) == "captured" and state.refundable == 1000
        )

    def test_told_the_other_way_round_it_has_failed_too(self) -> None:
        given(*ASKED).when(command(RecordRefundFailed), command(RecordRefundSucceeded)).then_nothing()

    def test_a_failed_call_gives_way_to_the_success_that_it_caused(self) -> None:
        given(*CALL_FAILED).when(command(RecordRefundSucceeded)).then(event(RefundSucceeded))

    def test_a_failed_call_never_undoes_a_success(self) -> None:
        given(*DONE).when(command(RecordRefundFailed, processor_refund_id=None)).then_nothing()

    def test_the_processors_verdict_on_a_failed_call_is_final(self) -> None:
        given(*CALL_FAILED).when(command(RecordRefundFailed)).then(event(RefundIdentified))
        given(*CALL_FAILED).when(command(RecordRefundFailed), command(RecordRefundSucceeded)).then_nothing()

    def test_a_late_success_whose_place_was_taken_is_refused(self) -> None:
        history = (*CALL_FAILED, event(RefundRequested, refund_id=UUID(int=9), amount=700))
        given(*history).when(command(RecordRefundSucceeded)).then_raises(AmountMismatch, match="400")

    def test_a_success_that_names_another_refund_than_the_failed_one_counts(self) -> None:
        history = (*ASKED, event(RefundFailed))
        given(*history).when(command(RecordRefundSucceeded, processor_refund_id="re_2")).then(
            event(RefundSucceeded, processor_refund_id="re_2")
        )

    def test_a_failure_that_names_another_refund_than_the_one_that_succeeded_is_that_ones(self) -> None:
        refused, late = (
            command(report, processor_refund_id="re_2") for report in (RecordRefundFailed, RecordRefundSucceeded)
        )
        beside = {"refund_id": discovered_refund_id(ORDER_ID, "re_2"), "processor_refund_id": "re_2"}
        given(*DONE).when(refused).then(event(RefundDiscovered, amount=400, **beside), event(RefundFailed, **beside))
        given(*DONE).when(refused, late).then_nothing()

    def test_an_id_that_comes_later_is_learned(self) -> None:
        history = (*ASKED, event(RefundSucceeded, processor_refund_id=None))
        given(*history).when(command(RecordRefundSucceeded)).then(event(RefundIdentified))


class TestRefundsMadeAtTheProcessor:
    def test_one_that_succeeded_is_booked(self) -> None:
        given(*CAPTURED).when(command(RecordDiscoveredRefund, reason="by hand")).then(
            event(RefundDiscovered, refund_id=FOUND_ID, processor_refund_id="re_9", amount=100, reason="by hand"),
            event(RefundSucceeded, refund_id=FOUND_ID, processor_refund_id="re_9"),
        ).then_state(lambda state: status(state) == "partially_refunded" and state.refundable == 900)

    def test_one_that_is_pending_holds_its_place(self) -> None:
        given(*CAPTURED).when(command(RecordDiscoveredRefund, status="pending")).then(
            event(RefundDiscovered, refund_id=FOUND_ID, processor_refund_id="re_9", amount=100)
        ).then_state(lambda state: state.refunded == 0 and state.refundable == 900)

    def test_one_that_failed_is_booked_so_that_a_stale_success_is_known_for_stale(self) -> None:
        failed = command(RecordDiscoveredRefund, status="failed", code="expired", message="Too late.")
        given(*CAPTURED).when(failed).then(
            event(RefundDiscovered, refund_id=FOUND_ID, processor_refund_id="re_9", amount=100),
            event(RefundFailed, refund_id=FOUND_ID, processor_refund_id="re_9", code="expired", message="Too late."),
        )
        given(*CAPTURED).when(failed, command(RecordDiscoveredRefund)).then_nothing()

    def test_its_later_reports_find_it_by_the_processors_id(self) -> None:
        pending = command(RecordDiscoveredRefund, status="pending")
        done = command(RecordDiscoveredRefund)
        given(*CAPTURED).when(pending, done).then(
            event(RefundSucceeded, refund_id=FOUND_ID, processor_refund_id="re_9")
        )
        given(*CAPTURED).when(pending, done, done).then_nothing()
        given(*CAPTURED).when(pending, pending).then_nothing()

    def test_ours_that_lacks_an_id_is_recognised_by_its_amount(self) -> None:
        given(*ASKED).when(command(RecordDiscoveredRefund, amount=400)).then(
            event(RefundSucceeded, processor_refund_id="re_9")
        )
        given(*ASKED).when(command(RecordDiscoveredRefund, amount=400, status="failed")).then(
            event(
                RefundFailed,
                processor_refund_id="re_9",
                code="refund_failed",
                message="The processor could not make this refund.",
            )
        )

    def test_taken_for_ours_by_mistake_both_are_booked_once_ours_is_told(self) -> None:
        beside = discovered_refund_id(ORDER_ID, "re_1")
        found, ours = command(RecordDiscoveredRefund, amount=400), command(RecordRefundSucceeded)
        given(*ASKED).when(found, ours).then(
            event(RefundDiscovered, refund_id=beside, amount=400),
            event(RefundSucceeded, refund_id=beside),
        ).then_state(lambda state: state.refunded == 800)
        given(*ASKED).when(found, ours, ours).then_nothing()
        given(*ASKED).when(found, ours, command(RecordRefundFailed)).then(event(RefundFailed, refund_id=beside))

    def test_another_one_told_under_its_id_is_booked_beside_it(self) -> None:
        found = command(RecordDiscoveredRefund, status="pending")
        told = command(RecordRefundSucceeded, refund_id=FOUND_ID, processor_refund_id="re_3")
        beside = {"refund_id": discovered_refund_id(ORDER_ID, "re_3"), "processor_refund_id": "re_3"}
        given(*CAPTURED).when(found, told).then(
            event(RefundDiscovered, amount=100, **beside), event(RefundSucceeded, **beside)
        )
        given(*CAPTURED).when(found, told, found).then_nothing()
        failed = command(RecordDiscoveredRefund, status="failed")
        given(*CAPTURED).when(failed, told).then(
            event(RefundDiscovered, amount=100, **beside), event(RefundSucceeded, **beside)
        )
        refused = command(RecordRefundFailed, refund_id=FOUND_ID, processor_refund_id="re_3")
        given(*CAPTURED).when(found, refused).then(
            event(RefundDiscovered, amount=100, **beside), event(RefundFailed, **beside)
        )

    def test_more_than_is_left_is_refused(self) -> None:
        given(*ASKED).when(command(RecordDiscoveredRefund, amount=1001)).then_raises(AmountMismatch, match="1001")
        given(*ASKED).when(command(RecordDiscoveredRefund, amount=0)).then_raises(AmountMismatch)

    def test_more_than_others_leave_must_wait_until_we_know_of_their_failure(self) -> None:
        found = command(RecordDiscoveredRefund, amount=601)
        given(*ASKED).when(found).then_raises(InvalidStatus, match="601")
        given(*ASKED).when(command(RecordRefundFailed), found).then_state(lambda state: state.refunded == 601)

    def test_a_failed_one_of_more_than_is_left_says_nothing(self) -> None:
        given(*ASKED).when(command(RecordDiscoveredRefund, amount=601, status="failed")).then_nothing()

    def test_before_the_capture_is_known_it_must_wait(self) -> None:
        given(*AUTHORIZED).when(command(RecordDiscoveredRefund)).then_raises(InvalidStatus, match="captured")

    def test_they_are_bounded_too(self) -> None:
        history: list[Event] = [*CAPTURED]
        for number in range(1000, 1000 + REFUNDS_MAX):
            refund_id = UUID(int=number)
            history += [event(RefundRequested, refund_id=refund_id, amount=1)]
            history += [event(RefundFailed, refund_id=refund_id, processor_refund_id=f"re_{number}")]
        given(*history).when(command(RecordDiscoveredRefund)).then_raises(InvalidStatus, match=f"{REFUNDS_MAX} refunds")

    def test_the_merchant_can_refund_what_they_leave(self) -> None:
        found, asked = command(RecordDiscoveredRefund), command(RefundPayment)
        given(*CAPTURED).when(found, asked).then(event(RefundRequested, amount=900))
