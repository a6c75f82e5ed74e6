"""The correlation id: one word that ties together everything that one request causes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

from payloops.values import new_id_text

correlation_id: Final[ContextVar[str]] = ContextVar("correlation_id", default="")
"""The id of what this task works for; empty outside any request or effect."""

_ACCEPTED: Final = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)


def accept_correlation_id(candidate: str | None) -> str:
    """``candidate`` if it has the form that the wire contract ("Headers") allows, else a new id."""
    if candidate is not None and _ACCEPTED.fullmatch(candidate):
        return candidate
    return new_id_text()


@contextlib.contextmanager
def correlation_scope(value: str) -> Iterator[None]:
    """Everything in the block works for ``value``."""
    token = correlation_id.set(value)
    try:
        yield
    finally:
        correlation_id.reset(token)
