"""What all models of answers share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

Json: TypeAlias = dict[str, Any]


class Model(BaseModel):
    """An object of an answer: frozen, snake_case here and camelCase on the wire.

    A field that a newer service has is no error: it is in ``model_extra`` under its name on the wire. A word that a
    newer service has where a ``Literal`` names those of today is let through as text.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        hide_input_in_errors=True,
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Of the fields that are known: what is secret among others, nobody here knows."""
        return ((name, value) for name, value in super().__repr_args__() if name in type(self).model_fields)


class CursorPage(Model):
    """A page that goes on at a cursor."""

    has_more: bool
    next_cursor: str | None
    """None on the last page."""


class Numbered(Model):
    """Where a numbered page stands."""

    page: int
    limit: int
    total: int
    """How many match in all."""
    total_pages: int
