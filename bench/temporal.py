"""A Temporal dev server for rows that need one, and a bare workflow of a payment's shape beside the service's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from bench.harness import Bench, Measure, MissingPartError
from payloops import temporal_server
from payloops.temporal_server import Ports, TemporalServer, TemporalServerError, find_program

NAMESPACE: Final = "loop"
BARE: Final = "bench.baselines.bare_workflow"


@contextmanager
def dev_server() -> Iterator[TemporalServer]:
    """A server of this row's own. Raises MissingPartError without the program."""
    try:
        program = find_program()
    except TemporalServerError as problem:
        raise MissingPartError(problem.message) from None
    with TemporaryDirectory(prefix="payloops-bench-") as directory:
        server = temporal_server.start(Path(directory), namespace=NAMESPACE, program=program, ports=Ports.any())
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def bare_side(bench: Bench, config: Mapping[str, Any], *, hosted: bool = True) -> Iterator[Measure]:
    """The bare workflow, called by one process and ``hosted`` by another."""
    with ExitStack() as stack:
        if hosted:
            stack.enter_context(bench.worker(BARE, {**config, "role": "worker"}))
        yield stack.enter_context(bench.worker(BARE, {**config, "role": "caller"})).measure
