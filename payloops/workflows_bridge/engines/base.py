"""The interface between the relay and whatever runs workflows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from payloops.workflows_bridge.contracts import SignalWorkflow, StartWorkflow


@dataclass(frozen=True, slots=True)
class Run:
    """A workflow as the embedded engine's table has it. ``version`` counts its saved states from 1."""

    type: str
    state: Mapping[str, Any] = field(repr=False)
    version: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Advance:
    """What the embedded engine brought a workflow to: saved in the transaction that ends the row which caused it.

    ``expected_version`` is the version that it was brought on from, 0 for a new one.
    """

    type: str
    state: Mapping[str, Any] = field(repr=False)
    expected_version: int
    finished: bool
    wake_at_s: float | None = None
    """Unix seconds by the database's clock."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The workflow has it."""

    advance: Advance | None = None


@dataclass(frozen=True, slots=True)
class NotTaken:
    """There is no such workflow that still runs."""

    reason: str


Answer: TypeAlias = Taken | NotTaken


class Work(Protocol):
    """What an engine may ask of the row in hand."""

    @property
    def key(self) -> str:
        """The workflow's id."""
        ...

    @property
    def correlation_id(self) -> str:
        """Of the request that caused it."""
        ...

    @property
    def traceparent(self) -> str | None:
        """Of the same."""
        ...

    @property
    def run(self) -> Run | None:
        """The embedded engine's workflow of the row's key."""
        ...

    @property
    def repeated(self) -> bool:
        """Whether the row was in hand before: what it causes may have happened already, in part or as a whole."""
        ...

    def now_s(self) -> float:
        """Unix seconds by the database's clock."""
        ...

    def require_lease(self) -> None:
        """Call it before each effect. Raises LeaseLost when the row may be somebody else's by now."""
        ...


class LeaseLost(Exception):
    """The lease of the row in hand ran out."""


class Engine(Protocol):
    """Runs workflows. All calls may come again after a crash; raises Unavailable while the engine itself is away."""

    async def start(self, start: StartWorkflow, work: Work) -> Taken:
        """Run this workflow. An id that runs, or has run, is success."""
        ...

    async def signal(self, signal: SignalWorkflow, work: Work) -> Answer:
        """Tell a running workflow."""
        ...

    async def wake(self, version: int, work: Work) -> Taken:
        """The time that the row's workflow waited for in that version has come."""
        ...
