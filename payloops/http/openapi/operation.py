"""What a handler says of itself for the API's description, beside what its route and its models say already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, TypeVar

from payloops.http.headers import IDEMPOTENCY_KEY, WAIT_S_MAX
from payloops.http.query import LIMIT_DEFAULT, LIMIT_MAX, ORDER_STATUSES, PAGE_MAX, TEXT_MAX
from payloops.http.schemas.base import Body

_ATTRIBUTE: Final = "operation"

Where = Literal["query", "header", "path"]
H = TypeVar("H", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in the query, a header or the path; ``schema`` is its JSON Schema."""

    name: str
    schema: Mapping[str, Any]
    description: str
    where: Where = "query"
    required: bool = False
    may_be_empty: bool = True
    """Whether ``name=`` counts as not given (queries only)."""


@dataclass(frozen=True, slots=True)
class Media:
    """A reply that is not JSON."""

    type: str
    """Empty for one without a body."""
    description: str
    also: tuple[str, ...] = ()
    """Further types that it can have."""


Answers: TypeAlias = Mapping[int, Any]
"""By status: a class of ``http/answers`` (or a list of one), Media, or None for a reply without a body."""


class NoOptions(Body):
    """A call that takes no fields: its body may be left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call. Errors that its route or its other fields imply need not be named: see ``errors.errors_of``."""

    summary: str
    answers: Answers
    description: str = ""
    body: Any = None
    """A class of ``http/schemas``."""
    form: Mapping[str, Any] | None = None
    """The JSON Schema of a body that is a form."""
    raw: str = ""
    """Of a body that somebody else defines: what it is."""
    example: Any = None
    """A body that is accepted."""
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    path: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """JSON Schemas of path parameters that are no UUIDs."""
    errors: tuple[str, ...] = ()
    """Codes that only this call knows."""
    idempotent: bool = False
    """Whether it takes an Idempotency-Key."""
    creates: bool = False
    """Whether what it changes is new, so that no other request can be faster."""
    in_turn: bool = False
    """Whether a merchant's requests take turns, so that a repeat waits for the first one and is given its reply."""
    conditional: bool = False
    """Whether it takes If-Match."""
    waits: bool = False
    """Whether it takes Prefer: wait."""
    tagged: bool = False
    """Whether its reply has an ETag."""
    for_people: bool = False
    """Whether its errors are pages."""


Described: TypeAlias = Operation | Mapping[str, Operation]
"""One operation, or one for each value of the path's ``:processor``."""


def documented(operation: Operation | None = None, **each: Operation) -> Callable[[H], H]:
    """Describe a handler, or with ``stripe=…, razorpay=…`` what it is for each processor; it stays as it is."""

    def describe(handler: H) -> H:
        vars(handler)[_ATTRIBUTE] = operation if operation is not None else each
        return handler

    return describe


def operation_of(handler: object) -> Described | None:
    """What was said of a handler: a function, a method, or an object that is called."""
    called = handler if hasattr(handler, "__name__") else type(handler).__call__
    found: Described | None = getattr(called, _ATTRIBUTE, None)
    return found


# ------------------------------------------------------------------------------------------------ parameters of many

TEXT: Final[Mapping[str, Any]] = {"type": "string", "maxLength": TEXT_MAX}
UUID_TEXT: Final[Mapping[str, Any]] = {"type": "string", "format": "uuid"}
TIME: Final[Mapping[str, Any]] = {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}

LIMIT: Final = Parameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
    "How many on a page.",
    may_be_empty=False,
)
PAGE: Final = Parameter(
    "page",
    {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": 1},
    "The number of the page.",
    may_be_empty=False,
)
CURSOR: Final = Parameter("cursor", {"type": "string", "maxLength": TEXT_MAX}, "``nextCursor`` of the page before.")
ORDER_STATUS: Final = Parameter(
    "status", {"type": "string", "enum": sorted(ORDER_STATUSES)}, "Only orders in this status."
)
FROM: Final = Parameter("from", TIME, "Made at this time or later; a date is its beginning, in UTC.")
TO: Final = Parameter("to", TIME, "Made before this time.")


def text(name: str, description: str) -> Parameter:
    """Free text in the query."""
    return Parameter(name, TEXT, description)


def identifier(name: str, description: str) -> Parameter:
    """An id in the query."""
    return Parameter(name, UUID_TEXT, description)


def choice(name: str, choices: tuple[str, ...] | frozenset[str], description: str) -> Parameter:
    """One of these words in the query."""
    return Parameter(name, {"type": "string", "enum": sorted(choices)}, description)


IDEMPOTENT: Final = Parameter(
    IDEMPOTENCY_KEY,
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x20-\x7e]+$"},
    "Sent again with the same body, the call does nothing and gives the first reply. Kept for 72 hours.",
    "header",
)
CONDITIONAL: Final = Parameter(
    "If-Match",
    {"type": "string"},
    "Only if this is still the version: the ETag of what was read.",
    "header",
)
WAITS: Final = Parameter(
    "Prefer",
    {"type": "string"},
    f"``wait=N``: answer when the outcome is known, or after N seconds (at most {WAIT_S_MAX}); ``respond-async``: now.",
    "header",
)
CORRELATION: Final = Parameter(
    "X-Correlation-ID",
    {"type": "string"},
    "Yours for this request, 1 to 128 of ``A-Za-z0-9._-``; anything else is replaced.",
    "header",
)
