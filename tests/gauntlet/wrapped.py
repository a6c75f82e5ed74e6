"""A part of the service with something done to it first: ``--do crash:after_commit:3 -- api …``.

The program itself knows nothing of this: here, in the process that a test starts, methods are replaced before the
command line runs. A crash is a real ``kill -9`` of the process by itself.

crash:POINT:N     dies when POINT is passed for the Nth time
skew:SECONDS      the process's clock is that far ahead (behind, if negative)
schedule:quick    the workflows' times in tenths of seconds instead of minutes
deliveries:quick  webhooks are tried again after tenths of seconds, and a receiver has a second and a half
names:loopback    every name under .example leads to this machine
names:nowhere     every name does, so that with loopback refused nothing goes out
impatient:N       a row is parked after N failures that follow each other quickly
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from payloops.__main__ import main
from payloops.events.store.group_commit import GroupCommit
from payloops.events.store.store import EventStore
from payloops.values import SystemClock
from payloops.workflows_bridge import embedded_relay
from payloops.workflows_bridge.activities import Activities
from payloops.workflows_bridge.deliveries import parts
from payloops.workflows_bridge.deliveries.health import Limits
from payloops.workflows_bridge.deliveries.parts import DeliveryOptions
from payloops.workflows_bridge.deliveries.resolver import system_lookup
from payloops.workflows_bridge.deliveries.sender import Sender
from payloops.workflows_bridge.machines.registry import Machines, machines
from payloops.workflows_bridge.machines.schedule import DeliverySchedule, Schedule
from payloops.workflows_bridge.outbox_table import OutboxTable
from payloops.workflows_bridge.relay import Relay, RelayOptions
from payloops.workflows_bridge.settling import Settler

IN_FLIGHT_S: Final = 0.0005
"""How long after a statement was sent the process dies in the points named mid_…: mostly before its answer."""
QUICK_SCHEDULE: Final = Schedule(
    action_timeout_s=3.0,
    action_asks_s=(0.5, 1.0, 2.0),
    doubt_asks_s=(0.5, 0.5, 0.5, 0.5),
    daily_s=1.0,
    quick_retries_s=(0.1, 0.1),
)
QUICK_DELIVERIES: Final = DeliverySchedule(steps_s=(0.3, 0.3, 0.3, 0.3, 0.3), turn_wait_s=60.0, room_wait_s=0.05)
QUICK_TIMEOUT_S: Final = 1.5

Method = Callable[..., Awaitable[Any]]
Wrap = Callable[[Method, Callable[[], None]], Method]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before(method: Method, passed: Callable[[], None]) -> Method:
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        passed()
        return await method(*arguments, **named)

    return wrapped


def _after(method: Method, passed: Callable[[], None]) -> Method:
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        result = await method(*arguments, **named)
        if result:
            passed()
        return result

    return wrapped


def _amid(method: Method, passed: Callable[[], None]) -> Method:
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        asyncio.get_running_loop().call_later(IN_FLIGHT_S, passed)
        return await method(*arguments, **named)

    return wrapped


POINTS: Final[dict[str, tuple[str, tuple[tuple[Any, str], ...], Wrap]]] = {
    "before_append": ("api", ((GroupCommit, "_send"),), _before),
    "after_commit": ("api", ((GroupCommit, "_send"),), _after),
    "mid_append": ("api", ((GroupCommit, "_send"),), _amid),
    "before_last_word": ("api", ((EventStore, "finish_idempotency"),), _before),
    "after_claim": ("relay", ((OutboxTable, "claim"),), _after),
    "after_start": ("relay", ((Settler, "settle"),), _before),
    "mid_settle": ("relay", ((OutboxTable, "settle"),), _amid),
    "before_record": ("relay", ((GroupCommit, "_send"),), _before),
    "after_processor": ("relay", tuple((Activities, name) for name in ("charge", "capture", "refund")), _after),
}
"""Kill points: the part that passes them, the methods there, and on which side of them it dies."""


def _crash(point: str, number: str) -> None:
    _, methods, wrap = POINTS[point]
    passes: Iterator[int] = itertools.count(1)

    def passed() -> None:
        if next(passes) >= int(number):
            _die()

    for owner, name in methods:
        setattr(owner, name, wrap(getattr(owner, name), passed))


def _skew(seconds: str) -> None:
    true_now = SystemClock.now

    def now(self: SystemClock) -> datetime:
        return true_now(self) + timedelta(seconds=float(seconds))

    SystemClock.now = now  # type: ignore[method-assign]


def _schedule(name: str) -> None:
    if name != "quick":
        raise ValueError(name)

    def quick_machines(_schedule: Schedule) -> Machines:
        return machines(QUICK_SCHEDULE)

    embedded_relay.machines = quick_machines  # type: ignore[attr-defined, assignment]


def _impatient(failures: str) -> None:
    init = Relay.__init__

    def with_little_patience(self: Relay, *given: Any, options: RelayOptions | None = None, **named: Any) -> None:
        hasty = replace(options or RelayOptions(), failures_max=int(failures), failure_delay_min_s=0.02)
        init(self, *given, options=hasty, **named)

    Relay.__init__ = with_little_patience  # type: ignore[method-assign]


def _deliveries(name: str) -> None:
    if name != "quick":
        raise ValueError(name)
    limits = Limits(failures_max=10, open_min_s=0.5, open_max_s=1.0, probe_s=3.0, probe_look_s=0.2)

    def quick_options(**given: Any) -> DeliveryOptions:
        return DeliveryOptions(schedule=QUICK_DELIVERIES, timeout_s=QUICK_TIMEOUT_S, limits=limits, **given)

    parts.DeliveryOptions = quick_options  # type: ignore[misc, assignment]


def _names(name: str) -> None:
    if name not in {"loopback", "nowhere"}:
        raise ValueError(name)

    def here(host: str) -> list[str]:
        return ["127.0.0.1"] if name == "nowhere" or host.endswith(".example") else system_lookup(host)

    def leading_here(*given: Any, **named: Any) -> Sender:
        return Sender(*given, **{**named, "lookup": here})

    parts.Sender = leading_here  # type: ignore[attr-defined, assignment]


DEEDS: Final[dict[str, Callable[..., None]]] = {
    "crash": _crash,
    "skew": _skew,
    "schedule": _schedule,
    "deliveries": _deliveries,
    "names": _names,
    "impatient": _impatient,
}


def run(argv: Sequence[str]) -> int:
    """Do the deeds before ``--``, then what stands after it."""
    end = list(argv).index("--")
    for deed in (argument for argument in argv[:end] if argument != "--do"):
        name, *details = deed.split(":")
        DEEDS[name](*details)
    return main(argv[end + 1 :])


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
