"""One call of the API as a value: what is sent, and how its answer is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter
from pydantic.alias_generators import to_camel

T = TypeVar("T")
PageT = TypeVar("PageT")
Json: TypeAlias = dict[str, Any]

WAIT_S_MAX: Final = 30
"""The longest ``Prefer: wait`` that the service takes, in seconds."""
KEY_LENGTH_MAX: Final = 255

Safety = Literal["read", "keyed", "unkeyed"]
"""Whether a call may be sent again: a read always; a write when its idempotency key keeps it from acting twice; a write
that takes no key only where it is sure that nothing was done."""


class Unset(Enum):
    """The value of what is not sent, where None means null."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """A call. ``answer`` is the type of the answer's body, or None where there is no body to read."""

    method: str
    route: str
    """As the API's description has it: ``/v1/orders/{id}``."""
    answer: Any
    params: Mapping[str, str] = field(default_factory=dict)
    """What the route's braces stand for."""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Json | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    safety: Safety = "read"
    idempotency_key: str | None = None
    """The caller's own; one is made when a keyed write has none."""
    wait_s: int | None = None
    """How long the service itself may wait before it answers: the client waits that much longer."""
    public: bool = False
    """Whether it goes without a credential."""

    @property
    def path(self) -> str:
        """The path, each value in it quoted. Raises ValueError for one that would lead to another path."""
        path = self.route
        for name, value in self.params.items():
            if not value or value in {".", ".."}:
                raise ValueError(f"{name} must be an id, not {value!r}")
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        return path

    def read(self, body: bytes) -> T:
        """The answer's body as what it is. Raises ValueError (pydantic's ValidationError is one)."""
        if self.answer is None:
            return None  # type: ignore[return-value] # a Call[None] has no other
        return _adapter(self.answer).validate_json(body)  # type: ignore[no-any-return]


@cache
def _adapter(answer: Any) -> TypeAdapter[Any]:
    return TypeAdapter(answer)


@dataclass(frozen=True, slots=True)
class Pages(Generic[T, PageT]):
    """A list that comes by the page: the call for its first one, and how to go on from a page."""

    first: Call[PageT]
    items: Callable[[PageT], Sequence[T]]
    following: Callable[[PageT], Mapping[str, str] | None]
    """What of the query changes for the page after this one; None when it is the last."""


# ------------------------------------------------------------------------------------------------------------- building


def write(
    method: str,
    route: str,
    answer: Any,
    *,
    body: Json | None = None,
    idempotency_key: str | None = None,
    if_match: int | None = None,
    wait: int | None = None,
    **params: str,
) -> Call[Any]:
    """A write that takes an idempotency key. ``if_match`` is a version, ``wait`` is in seconds.

    Raises ValueError for a key or a wait that the service would refuse or shorten.
    """
    headers: dict[str, str] = {}
    if if_match is not None:
        headers["If-Match"] = f'"{if_match}"'
    if wait is not None:
        if not 0 <= wait <= WAIT_S_MAX:
            raise ValueError(f"wait must be 0 to {WAIT_S_MAX} seconds, not {wait}")
        headers["Prefer"] = f"wait={wait}"
    return Call(
        method=method,
        route=route,
        answer=answer,
        params=params,
        body=body,
        headers=headers,
        safety="keyed",
        idempotency_key=None if idempotency_key is None else checked_key(idempotency_key),
        wait_s=wait,
    )


def read(route: str, answer: Any, query: Mapping[str, Any] | None = None, **params: str) -> Call[Any]:
    """A read; what is None in the query is not sent."""
    sent = {to_camel(name): in_query(value) for name, value in (query or {}).items() if value is not None}
    return Call(method="GET", route=route, answer=answer, params=params, query=sent)


def fields(**values: Any) -> Json:
    """A body of those that are not None (and not UNSET), under their names on the wire."""
    return {to_camel(name): on_wire(value) for name, value in values.items() if value is not None}


def nullable(**values: Any) -> Json:
    """A body of those that are not UNSET: None is sent as null."""
    return {to_camel(name): on_wire(value) for name, value in values.items() if value is not UNSET}


def checked_key(key: str) -> str:
    """An idempotency key as it is. Raises ValueError for one that the service would refuse."""
    if not 1 <= len(key) <= KEY_LENGTH_MAX or not key.isascii() or not key.isprintable():
        raise ValueError(f"an idempotency key has 1 to {KEY_LENGTH_MAX} printable ASCII characters")
    return key


def on_wire(value: Any) -> Any:
    """A value of a body in its JSON form."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, tuple | list):
        return [on_wire(each) for each in value]
    return value


def in_query(value: Any) -> str:
    """A value of a query as text."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return ",".join(map(str, value))
    return str(value)


def iso(moment: datetime) -> str:
    """UTC, in microseconds. Raises ValueError for a time that names no zone: it would mean another moment elsewhere."""
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone: datetime(…, tzinfo=timezone.utc)")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def encoded(body: Json | None) -> bytes:
    """The body's bytes. Raises ValueError for what JSON has no form for (NaN, infinity)."""
    return b"" if body is None else json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
