"""What a workflow works for: the correlation id and the trace of the request that caused it, as its memo has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

CORRELATION_ID: Final = "correlationId"
TRACE_CONTEXT: Final = "traceContext"
"""A W3C ``traceparent``."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Empty text for what is not known."""

    correlation_id: str = ""
    traceparent: str = ""

    def to_json(self) -> dict[str, str]:
        """As memo, and as the second argument of this service's own activities."""
        return {CORRELATION_ID: self.correlation_id, TRACE_CONTEXT: self.traceparent}

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Of whatever there is; what is no text counts as nothing."""
        if not isinstance(document, Mapping):
            return cls()
        return cls(_text(document.get(CORRELATION_ID)), _text(document.get(TRACE_CONTEXT)))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
