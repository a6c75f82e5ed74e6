"""What all replies share."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from payloops.values import AMOUNT_MAX


class Answer(BaseModel):
    """An object of a reply. A field with a default may be missing; the others are always there, be it as null."""

    model_config = ConfigDict(alias_generator=to_camel, use_attribute_docstrings=True)


Time = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
        json_schema_extra={"format": "date-time"},
        description="UTC, in milliseconds.",
        examples=["2026-11-30T09:30:00.000Z"],
    ),
]
Money = Annotated[
    int,
    Field(
        ge=0,
        le=AMOUNT_MAX,
        description="In minor units of the currency: 1234 USD is $12.34.",
        examples=[1234],
    ),
]
Json: TypeAlias = dict[str, Any]
Id: TypeAlias = UUID


class Numbered(Answer):
    """Where a numbered page stands."""

    page: int
    limit: int
    total: int
    """How many match in all."""
    total_pages: int


class CursorPage(Answer):
    """A page that goes on at a cursor."""

    has_more: bool
    next_cursor: str | None
    """To be sent as ``cursor`` for the page after this one; null on the last."""


class ErrorDetail(Answer):
    """One field that is wrong."""

    param: str
    """Its path, as ``lineItems.0.amount``."""
    message: str
    """What is wrong with it, to be read after its name."""


class Error(Answer):
    """Every error."""

    code: str
    """What a program looks at."""
    message: str
    """One sentence for people."""
    correlation_id: str
    """By this we find the request in our logs; it is the X-Correlation-ID header, too."""
    param: str = ""
    """The field, parameter or header that is wrong."""
    details: list[ErrorDetail] = []
    """Every field that is wrong."""
    retryable: bool = False
    """Whether the same request may be sent again."""
