"""Health."""

from __future__ import annotations

from typing import Literal

from payloops.http.answers.base import Answer, Error, Time


class Health(Answer):
    """The process answers."""

    status: Literal["ok"]
    timestamp: Time
    correlation_id: str


class Live(Answer):
    """The process lives."""

    status: Literal["ok"]


class PartHealth(Answer):
    """How one part is."""

    status: Literal["ok", "degraded", "down"]
    detail: str


class Ready(Answer):
    """Whether the service can serve; ``degraded`` when it can, but something is not as it should be."""

    status: Literal["ok", "degraded"]
    checks: dict[str, PartHealth]


class Unready(Ready, Error):
    """An error and the state of the parts in one."""
