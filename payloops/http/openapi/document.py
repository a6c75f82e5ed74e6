"""The OpenAPI 3.1 document, from the route table, the models of bodies and replies, and what handlers say beside."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from payloops.http.answers.base import Error
from payloops.http.auth import API_KEY_HEADER
from payloops.http.fields import HEADER as IGNORED_FIELDS
from payloops.http.openapi.errors import ANYWHERE, MEANINGS, errors_of
from payloops.http.openapi.links import links_of
from payloops.http.openapi.operation import (
    CONDITIONAL,
    CORRELATION,
    IDEMPOTENT,
    UUID_TEXT,
    WAITS,
    Media,
    Operation,
    Parameter,
    operation_of,
)
from payloops.http.routing import Route
from payloops.http.schemas.processors import BODIES

Json = dict[str, Any]
Mode = Literal["validation", "serialization"]

VERSION: Final = "1.0.0"
_REF: Final = "#/components/schemas/{model}"
_PROCESSOR: Final = ":processor"
PROCESSORS: Final = tuple(sorted(BODIES))
_PARAMETER: Final = re.compile(r":([A-Za-z]+)")
_ABOUT: Final = (
    "Orders, payments, refunds, hosted checkout and webhooks over Stripe and Razorpay. Calls under `/v1` take an API "
    "key, those under `/api` a dashboard token. Money is in minor units, times are UTC. Every error has the form of "
    "`Error`; show `message` to people and `code` to programs. A field or parameter that a call does not know is not "
    f"applied but named in `{IGNORED_FIELDS}`; one that reads like a misspelt known one is refused."
)
_AN_ID: Final = "01936f5a-7c1e-7d3b-9f42-5a6b7c8d9e0f"
_TAGS: Final = (
    ("/v1/checkout", "Checkout sessions"),
    ("/v1", "Orders"),
    ("/api/auth", "Accounts"),
    ("/api/me", "Accounts"),
    ("/api/merchants", "Accounts"),
    ("/api/api-keys", "API keys"),
    ("/api/processors", "Processors"),
    ("/api/processor-events", "Processor events"),
    ("/api/webhook", "Webhooks"),
    ("/api", "Dashboard"),
    ("/webhooks", "Inbound webhooks"),
    ("/checkout", "Checkout pages"),
    ("/", "Operations"),
)
_FIRST_TAG: Final = "Orders"
"""Of the prefixes the longer ones go first; of what is read, what most came for."""
_SECURITY: Final[Mapping[str, str]] = {"api_key": "ApiKey", "user": "Token"}


class _Names(GenerateJsonSchema):
    """Without a title on each field, which would only say its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's own signature
        """Never."""
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> Json:
        """A null beside a type, where the type is a plain one: OpenAPI 3.1 reads both, people this one."""
        made = super().nullable_schema(schema)
        inner = made.get("anyOf", [{}])[0]
        plain = isinstance(inner.get("type"), str) and "enum" not in inner and "const" not in inner
        return {**inner, "type": [inner["type"], "null"]} if plain else made


@dataclass(frozen=True, slots=True)
class Call:
    """One operation at its path."""

    route: Route
    path: str
    operation: Operation

    @property
    def name(self) -> str:
        """As the document calls it."""
        return f"{self.route.method} {self.path}"

    @property
    def id(self) -> str:
        """Stable and unique: the method and the words of the path."""
        words = re.findall(r"[A-Za-z0-9]+", self.path)
        return self.route.method.lower() + "".join(word[0].upper() + word[1:] for word in words)


def calls(table: Iterable[Route]) -> Iterator[Call]:
    """The operations of the table; each processor has paths of its own, for what it takes is its own."""
    for route in table:
        found = operation_of(route.handler)
        if found is None:
            continue
        if _PROCESSOR not in route.path and isinstance(found, Operation):
            yield Call(route, _templated(route.path), found)
            continue
        each = dict.fromkeys(PROCESSORS, found) if isinstance(found, Operation) else found
        for processor, operation in each.items():
            yield Call(route, _templated(route.path.replace(_PROCESSOR, processor)), operation)


def undocumented(table: Iterable[Route]) -> list[str]:
    """The routes whose handlers say nothing of themselves."""
    return [route.name for route in table if operation_of(route.handler) is None]


def build(table: Sequence[Route]) -> Json:
    """The document."""
    found = list(calls(table))
    schemas = _Schemas(found)
    paths: dict[str, Json] = {}
    for call in found:
        paths.setdefault(call.path, {})[call.route.method.lower()] = _operation(call, schemas, found)
    return {
        "openapi": "3.1.0",
        "info": {"title": "PayLoops", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": "/", "description": "Where this document was read."}],
        "tags": [{"name": name} for name in dict.fromkeys((_FIRST_TAG, *(name for _, name in _TAGS)))],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": {"Anywhere": _anywhere(), "AnywherePage": _page("What any page can give.")},
            "headers": _headers(),
            "securitySchemes": {
                "ApiKey": {"type": "apiKey", "in": "header", "name": API_KEY_HEADER, "description": "`sk_test_…`"},
                "Token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    }


class _Schemas:
    """The JSON Schemas of all models, in one namespace."""

    def __init__(self, found: Iterable[Call]) -> None:
        wanted: dict[tuple[str, Mode], TypeAdapter[Any]] = {(_key(Error), "serialization"): TypeAdapter(Error)}
        for call in found:
            if call.operation.body is not None:
                wanted[_key(call.operation.body), "validation"] = TypeAdapter(call.operation.body)
            for answer in call.operation.answers.values():
                if answer is not None and not isinstance(answer, Media):
                    wanted[_key(answer), "serialization"] = TypeAdapter(answer)
        inputs = [(key, mode, adapter) for (key, mode), adapter in wanted.items()]
        self._made, definitions = TypeAdapter.json_schemas(inputs, ref_template=_REF, schema_generator=_Names)
        self.components: Json = definitions["$defs"]

    def body(self, model: Any) -> Json:
        """The schema of a body."""
        return self._made[_key(model), "validation"]

    def answer(self, model: Any) -> Json:
        """The schema of a reply."""
        return self._made[_key(model), "serialization"]


def _key(model: Any) -> str:
    return model.__name__ if isinstance(model, type) and issubclass(model, BaseModel) else repr(model)


def _operation(call: Call, schemas: _Schemas, found: Sequence[Call]) -> Json:
    route, operation = call.route, call.operation
    made: Json = {
        "tags": [next(name for prefix, name in _TAGS if route.path.startswith(prefix))],
        "summary": operation.summary,
        "operationId": call.id,
        "parameters": [_parameter(parameter) for parameter in parameters(call)],
        "responses": _responses(call, schemas, links_of(call, found)),
    }
    if operation.description:
        made["description"] = operation.description
    if route.access in _SECURITY:
        made["security"] = [{_SECURITY[route.access]: [] if route.scope is None else [route.scope]}]
    content = _request_content(operation, schemas)
    if content is not None:
        made["requestBody"] = {"required": _needs_body(operation), "content": content}
    return made


def _request_content(operation: Operation, schemas: _Schemas) -> Json | None:
    example = {} if operation.example is None else {"example": operation.example}
    if operation.body is not None:
        return {"application/json": {"schema": schemas.body(operation.body), **example}}
    if operation.form is not None:
        return {"application/x-www-form-urlencoded": {"schema": dict(operation.form), **example}}
    if operation.raw:
        return {"application/json": {"schema": {"type": "object", "description": operation.raw}, **example}}
    return None


def _needs_body(operation: Operation) -> bool:
    """A JSON body without a field that must be there may be left out."""
    if operation.body is None:
        return True
    fields = operation.body.model_fields.values()
    return any(field.is_required() for field in fields)


def parameters(call: Call) -> list[Parameter]:
    """All parameters of a call."""
    operation = call.operation
    found = [
        Parameter(name, operation.path.get(name, UUID_TEXT), "", "path", required=True)
        for name in re.findall(r"\{([A-Za-z]+)\}", call.path)
    ]
    found += operation.query
    found += operation.headers
    if operation.idempotent:
        found.append(IDEMPOTENT)
    if operation.conditional:
        found.append(CONDITIONAL)
    if operation.waits:
        found.append(WAITS)
    return [*found, CORRELATION]


def _parameter(parameter: Parameter) -> Json:
    made: Json = {"name": parameter.name, "in": parameter.where, "schema": dict(parameter.schema)}
    if parameter.description:
        made["description"] = parameter.description
    if parameter.required:
        made["required"] = True
    if parameter.where == "query" and parameter.may_be_empty:
        made["allowEmptyValue"] = True
    return made


def _responses(call: Call, schemas: _Schemas, links: Json) -> Json:
    operation = call.operation
    made: Json = {}
    for status, answer in operation.answers.items():
        made[str(status)] = _answer(answer, schemas) | {"headers": _headers_of(operation)}
        if links:
            made[str(status)]["links"] = links
    for status, codes in errors_of(call.route, operation).items():
        if str(status) not in made:
            made[str(status)] = _page(_told(codes)) if operation.for_people else _error(status, codes)
    made["default"] = {"$ref": f"#/components/responses/{'AnywherePage' if operation.for_people else 'Anywhere'}"}
    return made


def _answer(answer: Any, schemas: _Schemas) -> Json:
    if answer is None:
        return {"description": "Done; there is nothing to tell."}
    if isinstance(answer, Media):
        content = {kind: {"schema": {"type": _kind(kind)}} for kind in (answer.type, *answer.also) if kind}
        return {"description": answer.description, **({"content": content} if content else {})}
    described = (getattr(answer, "__doc__", "") or "").strip() if isinstance(answer, type) else "A list."
    return {
        "description": described.splitlines()[0] if described else "A list.",
        "content": {"application/json": {"schema": schemas.answer(answer)}},
    }


def _headers_of(operation: Operation) -> Json:
    names = ["X-Correlation-ID"]
    if operation.tagged:
        names.append("ETag")
    if operation.idempotent:
        names.append("Idempotent-Replayed")
    if operation.waits:
        names.append("Preference-Applied")
    if operation.body is not None or operation.query:
        names.append(IGNORED_FIELDS)
    return {name: _header_ref(name) for name in names}


_OF_STATUS: Final[Mapping[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
}


def _error(status: int, codes: tuple[str, ...]) -> Json:
    names = ("X-Correlation-ID", *_OF_STATUS.get(status, ()))
    return {
        "description": _told(codes),
        "headers": {name: _header_ref(name) for name in names},
        "content": {"application/json": {"schema": _coded(codes), "examples": _examples(codes)}},
    }


def _examples(codes: Sequence[str]) -> Json:
    return {code: {"value": {"code": code, "message": f"{MEANINGS[code]}.", "correlationId": _AN_ID}} for code in codes}


def _coded(codes: Sequence[str]) -> Json:
    return {"allOf": [{"$ref": _REF.format(model="Error")}, {"properties": {"code": {"enum": list(codes)}}}]}


def _told(codes: Sequence[str]) -> str:
    return "\n".join(f"- `{code}`: {MEANINGS[code]}." for code in codes)


def _anywhere() -> Json:
    made = _error(0, ANYWHERE)
    made["headers"] |= {name: _header_ref(name) for name in ("Retry-After", "Allow")}
    # Also what a call can give beside what it is known for: then the form of an error is all that is promised.
    made["content"]["application/json"]["schema"] = {"$ref": _REF.format(model="Error")}
    return made


def _page(told: str) -> Json:
    """A page; what the connection refuses before it is known whose page it is has the form of all errors."""
    error = {"$ref": _REF.format(model="Error")}
    content = {"text/html": {"schema": {"type": "string"}}, "application/json": {"schema": error}}
    return {"description": told, "content": content}


def _kind(media_type: str) -> str:
    return "object" if media_type == "application/json" else "string"


def _headers() -> Json:
    told = {
        "X-Correlation-ID": "By this we find the request in our logs.",
        "ETag": "The version, for If-Match.",
        "Idempotent-Replayed": "`true` when this is the first reply again.",
        "Preference-Applied": "Which preference was honoured.",
        IGNORED_FIELDS: "Fields of the body and parameters of the query that the call does not know.",
        "WWW-Authenticate": "Which credential this call takes.",
        "Retry-After": "Seconds to wait.",
        "RateLimit": "What is left, and the seconds until there is more.",
        "RateLimit-Policy": "So many requests in so many seconds.",
        "Allow": "The methods that the path takes, of a 405.",
    }
    return {name: {"description": words, "schema": {"type": "string"}} for name, words in told.items()}


def _header_ref(name: str) -> Json:
    return {"$ref": f"#/components/headers/{name}"}


def _templated(path: str) -> str:
    return _PARAMETER.sub(r"{\1}", path)
