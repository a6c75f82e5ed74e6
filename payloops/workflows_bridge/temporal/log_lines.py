"""The correlation id in what the SDK itself logs about a workflow: it names a run, and each run tells what it is for.

Lines about an activity need none of this: the SDK writes them in the activity's own task, which knows (hosting.py).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final, cast

from temporalio import worker, workflow

from payloops.workflows_bridge.temporal.causes import Cause

LOGGERS: Final = (
    "temporalio.core",
    "temporalio.worker._workflow",
    "temporalio.worker._workflow_instance",
    "temporalio.workflow",
)
"""Of the SDK, where it speaks of workflows. A filter holds for one logger only, not for those below it."""
RUNS_MAX: Final = 10_000
FIELD: Final = "correlationId"
_TELL: Final = "__payloops_run_began"


class CorrelatedLines(worker.Interceptor, logging.Filter):
    """Learns what each run works for, and adds it to lines that name the run. The RUNS_MAX last ones are kept."""

    def __init__(self) -> None:
        logging.Filter.__init__(self)
        self._kept: OrderedDict[str, str] = OrderedDict()

    @contextmanager
    def attached(self) -> Iterator[None]:
        """It works as long as the block runs."""
        for name in LOGGERS:
            logging.getLogger(name).addFilter(self)
        try:
            yield
        finally:
            for name in LOGGERS:
                logging.getLogger(name).removeFilter(self)

    def workflow_interceptor_class(
        self,
        input: worker.WorkflowInterceptorClassInput,  # noqa: A002 - the SDK's
    ) -> type[worker.WorkflowInboundInterceptor]:
        """See worker.Interceptor."""
        input.unsafe_extern_functions[_TELL] = self.remember
        return _Telling

    def remember(self, run_id: str, correlation_id: str) -> None:
        """A run began, or is replayed here."""
        self._kept[run_id] = correlation_id
        self._kept.move_to_end(run_id)
        if len(self._kept) > RUNS_MAX:
            self._kept.popitem(last=False)

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter: every line passes."""
        for candidate in _names(record):
            found = self._kept.get(candidate)
            if found:
                setattr(record, FIELD, found)
                break
        return True


class _Telling(worker.WorkflowInboundInterceptor):
    """Inside the workflow."""

    key: ClassVar = _TELL

    async def execute_workflow(self, input: worker.ExecuteWorkflowInput) -> Any:  # noqa: A002 - the SDK's
        tell = cast("Callable[[str, str], None]", workflow.extern_functions()[self.key])
        tell(workflow.info().run_id, Cause.from_json(workflow.memo()).correlation_id)
        return await super().execute_workflow(input)


def _names(record: logging.LogRecord) -> Iterator[str]:
    """Whatever in a line may be the id of a run."""
    if isinstance(record.args, tuple):
        yield from (one for one in record.args if isinstance(one, str))
    told: Any = getattr(record, "temporal_workflow", None)
    if isinstance(told, dict):
        yield str(told.get("run_id"))
    core: Any = getattr(record, "temporal_log", None)
    if core is not None and isinstance(core.fields, dict):
        yield str(core.fields.get("run_id"))
