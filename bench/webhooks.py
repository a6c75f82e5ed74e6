"""What the rows of webhooks share: merchants with endpoints, and what was published beside what arrived."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from bench.harness import Bench, Measure
from bench.http_requests import call
from bench.processes import free_port
from bench.samples import Sample, Window, from_latencies
from bench.service import Api, Service, service
from bench.subjects.receiver import DEAD, arrival
from bench.worker import MeasurementError, Worker

ARRIVAL_TIMEOUT_S: Final = 30.0
_ASK_EVERY_S: Final = 0.05

Paths = Mapping[str, Sequence[str]]
"""Merchant id -> the paths of its endpoints that answer."""


def merchant_with_endpoints(api: Api, port: int, paths: Sequence[str]) -> str:
    """The id of a new merchant whose every event goes to these paths of the receiver."""
    merchant = api.register()
    bearer = {"Authorization": f"Bearer {merchant.token}"}
    for path in paths:
        call(api.port, "POST", "/api/webhook-endpoints", bearer, {"url": f"http://127.0.0.1:{port}{path}"}, status=201)
    return merchant.id


@contextmanager
def paced_side(bench: Bench, per_s: float, shops: Sequence[Sequence[str]], *, relays: int = 1) -> Iterator[Measure]:
    """Events at that pace, of as many merchants as ``shops`` has, and the time until each is at all endpoints.

    Each shop is the paths of its endpoints; what goes to DEAD is not waited for.
    """
    with ExitStack() as stack:
        database = stack.enter_context(bench.postgres.database())
        ours = stack.enter_context(service(bench, database))
        port, paths = free_port(), {}
        with ours.api() as api:
            for endpoints in shops:
                paths[merchant_with_endpoints(api, port, endpoints)] = [one for one in endpoints if one != DEAD]
        receiver = stack.enter_context(bench.worker("bench.subjects.receiver", {"port": port}))
        start_relays(stack, ours, relays)
        config = {"dsn": database.app_dsn, "merchants": list(paths), "per_s": per_s}
        writer = stack.enter_context(bench.worker("bench.subjects.event_writer", config))
        yield lambda window: measure_arrivals(writer, receiver, paths, window)


def start_relays(stack: ExitStack, ours: Service, count: int) -> None:
    """So many relay processes, for as long as the stack lasts."""
    for _ in range(count):
        stack.enter_context(ours.relay())


def measure_arrivals(writing: Worker, receiving: Worker, paths: Paths, window: Window) -> Sample:
    """From asking for an event's commit to its first byte at each endpoint. Raises MeasurementError for a loss."""
    writing.ask(window)
    written = writing.answer(window)
    started: dict[str, float] = {}
    for name, at_s in written["marks"].items():
        merchant, event_id = name.split(" ")
        started |= {arrival(path, event_id): at_s for path in paths[merchant]}
    arrived = _arrived(receiving, started.keys().__le__, window)
    if not started.keys() <= arrived.keys():
        raise MeasurementError(f"{len(started.keys() - arrived.keys())} of {len(started)} webhooks never arrived")
    counted = [arrived[name] - at_s for name, at_s in started.items() if at_s >= written["begin_s"]]
    return from_latencies(counted, window.seconds)


def _arrived(receiving: Worker, all_there: Callable[..., bool], window: Window) -> dict[str, float]:
    arrived: dict[str, float] = {}
    deadline_s = time.monotonic() + ARRIVAL_TIMEOUT_S
    while time.monotonic() < deadline_s:
        receiving.ask(window)
        arrived |= receiving.answer(window)["marks"]
        if all_there(arrived.keys()):
            break
        time.sleep(_ASK_EVERY_S)
    return arrived
