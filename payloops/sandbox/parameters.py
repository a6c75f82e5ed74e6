"""Parameters of a request: nested form fields (``metadata[order_id]``, ``expand[]``) or a JSON object, read by type."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from payloops.sandbox.wire import Refusal

Values = dict[str, Any]
"""Parsed parameters: leaves are text from a form and anything from JSON."""

INTEGER_MAX: Final = 2**53 - 1
"""The largest amount: what every JSON client reads exactly."""
_FIELDS_MAX: Final = 1000
_DEPTH_MAX: Final = 8
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}")
_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}

Complaint = Callable[[str, str], Refusal]
"""(parameter name, what is wrong with it) -> the dialect's refusal."""


class MalformedBodyError(ValueError):
    """The body is neither a form nor a JSON object that we can read."""


def parse_form(text: str) -> Values:
    """The fields of a query string or form as nested objects and lists.

    :raises MalformedBodyError: names that contradict each other, nest too deeply, or are too many.
    """
    root: Values = {}
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise MalformedBodyError("the form can't be decoded") from error
    for name, value in fields:
        path = [part.rstrip("]") for part in name.split("[")]
        if len(path) > _DEPTH_MAX:
            raise MalformedBodyError(f"{path[0]} is nested too deeply")
        _put(root, path, value)
    return {name: _with_lists(value) for name, value in root.items()}


def parse_json(body: bytes) -> Values:
    """The members of a JSON object.

    :raises MalformedBodyError: it is something else.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBodyError("the body is not JSON") from error
    if not isinstance(value, dict):
        raise MalformedBodyError("the body is not a JSON object")
    return value


def _put(root: Values, path: list[str], value: str) -> None:
    target = root
    for name in path[:-1]:
        inner = target.setdefault(_member(target, name), {})
        if not isinstance(inner, dict):
            raise MalformedBodyError(f"{path[0]} is both a value and an object")
        target = inner
    last = _member(target, path[-1])
    if isinstance(target.get(last), dict):
        raise MalformedBodyError(f"{path[0]} is both a value and an object")
    target[last] = value


def _member(target: Values, name: str) -> str:
    """``[]`` appends: it gets the next free index."""
    return name or str(len(target))


def _with_lists(value: Any) -> Any:
    """Objects whose members are 0, 1, 2 … become lists."""
    if not isinstance(value, dict):
        return value
    inner = {name: _with_lists(member) for name, member in value.items()}
    if inner and list(inner) == [str(index) for index in range(len(inner))]:
        return list(inner.values())
    return inner


class Parameters:
    """Typed access to :data:`Values`; what does not fit is refused in the dialect's words."""

    def __init__(self, values: Values, complain: Complaint, prefix: str = "") -> None:
        self._values = values
        self._complain = complain
        self._prefix = prefix

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def full_name(self, name: str) -> str:
        """The parameter's name as the client wrote it: ``card[token]``."""
        return f"{self._prefix}[{name}]" if self._prefix else name

    def raw(self, name: str) -> Any:
        """The value as it was sent."""
        return self._values.get(name)

    def unknown(self, allowed: Iterable[str]) -> list[str]:
        """Names that the operation does not know."""
        return sorted(set(self._values) - set(allowed))

    def integer(self, name: str, *, low: int = 0, high: int = INTEGER_MAX) -> int | None:
        """A whole number from ``low`` to ``high``; a form's text counts."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._complain(self.full_name(name), "must be an integer")
        if not low <= value <= high:
            raise self._complain(self.full_name(name), f"must be from {low} to {high}")
        return value

    def text(self, name: str, *, length_max: int = 5000) -> str | None:
        """A text; an empty one counts as absent."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise self._complain(self.full_name(name), "must be a string")
        if len(value) > length_max:
            raise self._complain(self.full_name(name), f"must be at most {length_max} characters")
        return value

    def choice(self, name: str, allowed: Iterable[str]) -> str | None:
        """One of some words."""
        value = self.text(name)
        if value is not None and value not in allowed:
            raise self._complain(self.full_name(name), f"must be one of {', '.join(sorted(allowed))}")
        return value

    def boolean(self, name: str) -> bool | None:
        """A truth value; ``true``, ``false``, 1 and 0 count."""
        value = self._values.get(name)
        if value is None or isinstance(value, bool):
            return value
        known = _BOOLEANS.get(str(value))
        if known is None:
            raise self._complain(self.full_name(name), "must be a boolean")
        return known

    def texts(self, name: str) -> list[str]:
        """A list of texts; absent is empty."""
        value = self._values.get(name)
        if value is None or value == "":
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._complain(self.full_name(name), "must be an array of strings")
        return value

    def mapping(self, name: str) -> Values | None:
        """An object; an empty text in its place (a form's way to clear it) is an empty one."""
        value = self._values.get(name)
        if value is None or isinstance(value, dict):
            return value
        if value in ("", []):
            return {}
        raise self._complain(self.full_name(name), "must be an object")

    def nested(self, name: str) -> Parameters:
        """The members of an object as parameters of their own; absent is empty."""
        return Parameters(self.mapping(name) or {}, self._complain, self.full_name(name))
