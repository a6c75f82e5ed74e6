"""JSON Schema (2020-12) of each event's state as it stands in the log, made from the event classes.

``docs/events`` keeps what ``write`` makes; ``check`` names what has drifted from it. The columns beside the state
(``originator_id``, ``originator_version``) are not part of it.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Union, get_args, get_origin

import orjson
from pydantic import ConfigDict, Field, WithJsonSchema, create_model

from payloops.events.base import Event, Sealed
from payloops.events.codec import state_types
from payloops.events.registry import EARLIER_TOPICS, EVENT_CLASSES

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_SEALED: Final = {
    "type": "string",
    "x-encrypted": True,
    "description": "Encrypted: a secret or personal data, sealed before it entered the event.",
}


def schema(event_class: type[Event]) -> dict[str, Any]:
    """The schema of one event's state; the same for the same class, on every machine."""
    documented = _field_docs(event_class)
    fields: dict[str, Any] = {
        name: (_with_sealed_marked(hint), Field(description=documented.get(name)))
        for name, hint in state_types(event_class).items()
    }
    state = create_model(event_class.__name__, __config__=ConfigDict(extra="forbid"), **fields)
    made = state.model_json_schema(mode="serialization")
    if event_class.class_version > 1:
        made["properties"]["class_version"] = {"const": event_class.class_version, "type": "integer"}
        made["required"].append("class_version")
    return {
        "$schema": DIALECT,
        "$id": f"urn:payloops:event:{event_class.TOPIC}",
        **made,
        "title": event_class.__name__,
        "description": inspect.cleandoc(event_class.__doc__ or ""),
    }


def documents() -> dict[str, bytes]:
    """File name -> contents, for the newest version of every event."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return {f"{event.TOPIC}.json": orjson.dumps(schema(event), option=options) for event in EVENT_CLASSES}


def write(directory: Path) -> list[str]:
    """Bring the directory up to date; the names of the files that changed or went."""
    directory.mkdir(parents=True, exist_ok=True)
    drifted = check(directory)
    made = documents()
    for name in drifted:
        if name in made:
            (directory / name).write_bytes(made[name])
        else:
            (directory / name).unlink(missing_ok=True)
    return drifted


def check(directory: Path) -> list[str]:
    """The names of files that are missing, differ from the classes, or describe no event.

    An earlier version's schema can't be made any more: its file stays as it was.
    """
    made = documents()
    kept = {f"{topic}.json" for topic in EARLIER_TOPICS}
    present = {path.name: path.read_bytes() for path in directory.glob("*.json")}
    missing_or_changed = {name for name, contents in made.items() if present.get(name) != contents}
    return sorted(missing_or_changed | (present.keys() - made.keys() - kept) | (kept - present.keys()))


def _with_sealed_marked(hint: Any) -> Any:
    if hint is Sealed:
        return Annotated[str, WithJsonSchema(_SEALED)]
    if get_origin(hint) is tuple:
        return tuple[_with_sealed_marked(get_args(hint)[0]), ...]  # type: ignore[misc]  # built at run time
    if Sealed in get_args(hint):
        return Union[tuple(_with_sealed_marked(part) for part in get_args(hint))]  # noqa: UP007  built at run time
    return hint


def _field_docs(event_class: type) -> dict[str, str]:
    """The text that follows a field in the source of the class or of a class that it comes from."""
    found: dict[str, str] = {}
    for owner in reversed(event_class.__mro__):
        if owner.__module__.startswith("payloops."):
            found |= _field_docs_in(owner)
    return found


def _field_docs_in(owner: type) -> dict[str, str]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
