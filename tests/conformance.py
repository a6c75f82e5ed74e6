"""Every reply that a test gets is held against the API's description: status, media type, code, and each field."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final

import jsonschema
import orjson

from payloops.http.openapi.document import build
from payloops.http.openapi.errors import ANYWHERE, status_of_code
from payloops.http.routes import routes

ANYWHERE_STATUSES: Final = frozenset(status_of_code(code) for code in ANYWHERE)
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.SEE_OTHER, HTTPStatus.NOT_MODIFIED})


@cache
def document() -> Mapping[str, Any]:
    """The description, as it is served."""
    made: Mapping[str, Any] = orjson.loads(orjson.dumps(build(routes())))
    return made


def problem_of(method: str, path: str, status: int, media_type: str, raw: bytes) -> str | None:
    """What the description does not say of this reply. None for a path that it does not have."""
    template = _template(path.partition("?")[0])
    operation = document()["paths"].get(template, {}).get(method.lower())
    if operation is None or method in {"HEAD", "OPTIONS"}:
        return None
    place = f"{method} {template} {status}"
    reply = operation["responses"].get(str(status))
    if reply is None:
        if status not in ANYWHERE_STATUSES:
            return f"{place} is not described: {raw[:300]!r}"
        reply = operation["responses"]["default"]
    if "$ref" in reply:
        reply = document()["components"]["responses"][reply["$ref"].rpartition("/")[2]]
    content = reply.get("content")
    if content is None:
        return None if status in _BODILESS else f"{place} is described without a body: {raw[:300]!r}"
    if media_type.partition(";")[0] not in {kind.partition(";")[0] for kind in content}:
        return f"{place} has the type {media_type!r}, not one of {list(content)}"
    if not media_type.startswith("application/json"):
        return None
    schema = content["application/json"]["schema"]
    errors = [_told(error) for error in _validator(orjson.dumps(schema)).iter_errors(orjson.loads(raw))]
    return f"{place} is not as described: {'; '.join(errors)}: {raw[:300]!r}" if errors else None


def _told(error: jsonschema.ValidationError) -> str:
    return f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"


@cache
def _validator(schema: bytes) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**orjson.loads(schema), "components": _strict()})


@cache
def _strict() -> Mapping[str, Any]:
    """The schemas, with no field in a reply that is not described; clients must take more, we must not send it."""
    components = {"schemas": copy.deepcopy(document()["components"]["schemas"])}
    for schema in components["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return components


@cache
def _templates() -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((path, tuple(path.split("/"))) for path in document()["paths"])


def _template(path: str) -> str:
    """The described path that this one is, literal segments first; itself when there is none."""
    segments = path.split("/")
    return next(iter(sorted(_matching(segments), key=lambda template: template.count("{"))), path)


def _matching(segments: list[str]) -> Iterator[str]:
    for template, parts in _templates():
        if len(parts) == len(segments) and all(
            part.startswith("{") or part == segment for part, segment in zip(parts, segments, strict=True)
        ):
            yield template
