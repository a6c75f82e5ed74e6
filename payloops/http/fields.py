"""Which fields a call knows, in its body and its query, and what is done about others: see ADR 0013.

A field that the call does not know is never applied. It is named in the reply's ``X-PayLoops-Ignored-Fields``, or
refused where it reads like a known one that was misspelt: who wrote ``capturemethod`` must not have the money taken at
once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, get_args
from urllib.parse import parse_qsl

from pydantic import BaseModel, RootModel

from payloops.errors import InvalidInput

if TYPE_CHECKING:
    from payloops.http.message import Request

HEADER: Final = "X-PayLoops-Ignored-Fields"
UNKNOWN_MAX: Final = 50
"""Different names in one request; so comparing them with the known ones is bounded as well."""
SHOWN_MAX: Final = 10
NAME_SHOWN_LENGTH_MAX: Final = 40

_ONE_TYPO_FROM: Final = 4
_TWO_TYPOS_FROM: Final = 12
"""Letters. In a shorter name two of them are a word: ``customer`` is not ``customerId``, nor ``createdAt``
``createdTo``."""
_UNSHOWABLE: Final = re.compile(r"[^A-Za-z0-9_.-]")
_SEPARATORS: Final = re.compile(r"[^a-z0-9]")


@dataclass(frozen=True, slots=True)
class Fields:
    """The names that an object may have; ``nested`` are those of objects, and of lists of objects, in it."""

    names: frozenset[str] = frozenset()
    nested: Mapping[str, Fields] = field(default_factory=dict)

    def __or__(self, other: Fields) -> Fields:
        nested = {**self.nested, **other.nested}
        for name in self.nested.keys() & other.nested.keys():
            nested[name] = self.nested[name] | other.nested[name]
        return Fields(self.names | other.names, nested)


@dataclass(frozen=True, slots=True)
class Takes:
    """What a call takes. ``body`` is None for one whose body is not ours to know, or is none of JSON."""

    body: Fields | None
    query: Fields


def fields_of(model: type[BaseModel]) -> Fields:
    """The names that a body's class knows; of a choice between classes, those of all."""
    if issubclass(model, RootModel):
        found = Fields()
        for each in _models(model.model_fields["root"].annotation):
            found |= fields_of(each)
        return found
    nested: dict[str, Fields] = {}
    names = set()
    for own_name, described in model.model_fields.items():
        name = described.alias or own_name
        names.add(name)
        for each in _models(described.annotation):
            nested[name] = nested.get(name, Fields()) | fields_of(each)
    return Fields(frozenset(names), nested)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for part in get_args(annotation):
        yield from _models(part)


def look_at_body(request: Request, body: Mapping[str, Any]) -> None:
    """Note the body's unknown fields on the request. Raises InvalidInput for one that reads like a misspelt one.

    A body of known fields costs one comparison of sets, and one for each object in it.
    """
    takes = None if request.route is None else request.route.taken(request.params)
    if takes is None or takes.body is None:
        return
    if not takes.body.nested and takes.body.names.issuperset(body):
        return
    found: dict[str, _Unknown] = {}
    _survey(body, takes.body, "", "", found)
    if found:
        _judge(request, found, "field")


def look_at_query(request: Request) -> None:
    """The same for the parameters of the query."""
    takes = None if request.route is None else request.route.taken(request.params)
    if takes is None:
        return
    try:
        pairs = parse_qsl(request.query.partition("#")[0], keep_blank_values=True, max_num_fields=UNKNOWN_MAX)
    except ValueError:
        # Whether a query that can't be read is refused, the call itself decides.
        return
    found = {name: _Unknown(name, name, takes.query) for name, _ in pairs if name not in takes.query.names}
    if found:
        _judge(request, found, "parameter")


def ignored_line(names: tuple[str, ...]) -> bytes:
    """The header line that names them; no name can end it or begin another one."""
    told = [shown(name) for name in names[:SHOWN_MAX]]
    if len(names) > SHOWN_MAX:
        told.append("...")
    return f"{HEADER}: {', '.join(told)}\r\n".encode()


@dataclass(frozen=True, slots=True)
class _Unknown:
    name: str
    path: str
    among: Fields


def _survey(body: Mapping[str, Any], fields: Fields, place: str, path: str, found: dict[str, _Unknown]) -> None:
    """Collect unknown names by their place without indices: a field of a hundred line items is one field."""
    if not fields.names.issuperset(body):
        for name in body.keys() - fields.names:
            found.setdefault(place + name, _Unknown(name, path + name, fields))
    if len(found) > UNKNOWN_MAX:
        raise InvalidInput(f"The body has more than {UNKNOWN_MAX} fields that this call does not know; leave them out.")
    for name, inner in fields.nested.items():
        value = body.get(name)
        if isinstance(value, dict):
            _survey(value, inner, f"{place}{name}.", f"{path}{name}.", found)
        elif isinstance(value, list):
            for index, each in enumerate(value):
                if isinstance(each, dict):
                    _survey(each, inner, f"{place}{name}.", f"{path}{name}.{index}.", found)


def _judge(request: Request, found: Mapping[str, _Unknown], noun: str) -> None:
    refused = []
    for unknown in found.values():
        meant = misspelt(unknown.name, unknown.among.names)
        if meant is not None:
            refused.append((shown(unknown.path), f"is not a {noun} of this call (did you mean {meant}?)"))
    request.ignored = tuple(sorted(found))
    if refused:
        raise InvalidInput.of(*sorted(refused))


def misspelt(name: str, known: frozenset[str]) -> str | None:
    """The known name that was probably meant: the same letters, or one or two typos away where it is long enough."""
    plain = _plain(name)
    nearest: tuple[int, str] | None = None
    for candidate in sorted(known):
        letters = _plain(candidate)
        allowed = (len(letters) >= _ONE_TYPO_FROM) + (len(letters) >= _TWO_TYPOS_FROM)
        if abs(len(letters) - len(plain)) > allowed:
            continue
        typos = typos_between(plain, letters)
        if typos <= allowed and (nearest is None or typos < nearest[0]):
            nearest = typos, candidate
    return None if nearest is None else nearest[1]


def typos_between(one: str, other: str) -> int:
    """Letters left out, put in, changed, or swapped with their neighbour (optimal string alignment)."""
    before_last: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        now = [row]
        for column, expected in enumerate(other, 1):
            cost = min(last[column] + 1, now[column - 1] + 1, last[column - 1] + (letter != expected))
            swapped = row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == expected
            now.append(min(cost, before_last[column - 2] + 1) if swapped else cost)
        before_last, last = last, now
    return last[-1]


def _plain(name: str) -> str:
    return _SEPARATORS.sub("", name.lower())


def shown(name: str) -> str:
    """A name as it may stand in a header and in a sentence."""
    short = name if len(name) <= NAME_SHOWN_LENGTH_MAX else f"{name[: NAME_SHOWN_LENGTH_MAX - 3]}..."
    return _UNSHOWABLE.sub("?", short) or "?"
