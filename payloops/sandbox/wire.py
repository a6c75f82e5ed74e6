"""What travels: documents as the processors publish them, and the replies that carry them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

Document = dict[str, Any]
"""A JSON object in the processor's own shape."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer: status, JSON body and the headers that only this answer has."""

    status: int
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """A simulated processor says no. Nothing of the request's work is kept.

    ``executed`` tells whether the endpoint had begun its work: only then does Stripe keep the answer under the
    idempotency key (docs.stripe.com/api/idempotent_requests).
    """

    def __init__(self, reply: Reply, *, executed: bool = False) -> None:
        super().__init__(f"HTTP {reply.status}")
        self.reply = reply
        self.executed = executed


def json_reply(status: int, document: Document, headers: dict[str, str] | None = None) -> Reply:
    """``document`` as the body of an answer."""
    return Reply(status, orjson.dumps(document), headers or {})
