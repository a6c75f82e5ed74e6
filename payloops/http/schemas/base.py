"""What all bodies share: strict types, camelCase names, unknown fields ignored, one form of refusal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from payloops.errors import InvalidInput
from payloops.http.json_body import card_rejected
from payloops.http.query import parse_moment
from payloops.telemetry import contains_card_number
from payloops.values import AMOUNT_MAX, CURRENCY_EXPONENTS, currency_code

URL_LENGTH_MAX: Final = 2048
EMAIL_LENGTH_MAX: Final = 254
EMAIL_LOCAL_LENGTH_MAX: Final = 64
METADATA_KEYS_MAX: Final = 50
METADATA_KEY_LENGTH_MAX: Final = 40
METADATA_BYTES_MAX: Final = 16 * 1024
ERRORS_SHOWN_MAX: Final = 20

_EMAIL: Final = re.compile(r"[^\s@<>\"(),:;\[\]\\\x00-\x20\x7f]+@[^\s@.\x00-\x20\x7f]+(\.[^\s@.\x00-\x20\x7f]+)+")
_LONG_NUMBER: Final = re.compile(rb"[0-9]{13}")


class Body(BaseModel):
    """A body. A field whose default is None may be sent as null, which is as good as not sent."""

    model_config = ConfigDict(strict=True, extra="ignore", alias_generator=to_camel, validate_by_name=False)


BodyT = TypeVar("BodyT", bound=Body)


def checked(body_class: type[BodyT], body: Mapping[str, Any]) -> BodyT:
    """The body as an object. Raises InvalidInput, which names each offending field and never repeats its value."""
    try:
        return body_class.model_validate(body)
    except ValidationError as problem:
        raise _refusal(problem.errors(include_url=False, include_input=False, include_context=True)) from None


def _refusal(errors: list[ErrorDetails]) -> InvalidInput:
    return InvalidInput.of(*((_path(error["loc"]), _message(error)) for error in errors[:ERRORS_SHOWN_MAX]))


def _path(place: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in place)


_MESSAGES: Final[Mapping[str, str]] = {
    "missing": "is required",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "too_long": "must have at most {max_length} entries",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
}


def _message(error: ErrorDetails) -> str:
    """Our words for pydantic's kinds of error; what one of our validators raised has its own."""
    kind, limits = error["type"], error.get("ctx", {})
    if kind == "refused":
        return error["msg"]
    if kind == "string_too_short" and limits["min_length"] == 1:
        return "must not be empty"
    return _MESSAGES.get(kind, "is not valid").format_map(limits)


def refused(message: str) -> PydanticCustomError:
    """What a validator raises: ``message`` follows the field's name."""
    return PydanticCustomError("refused", "{reason}", {"reason": message})


def _currency(text: str) -> str:
    code = currency_code(text) if len(text) == len("USD") and text.isascii() else None
    if code is None:
        raise refused("must be an ISO 4217 code like USD")
    return code


def web_url(text: str) -> str:
    """An absolute http or https URL without a user in it."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
        _ = parts.port
    except ValueError:
        usable = False
    # A browser reads a backslash as a slash, and so another host than we do.
    if not usable or not text.isprintable() or " " in text or "\\" in text:
        raise refused("must be a URL that begins with http:// or https://")
    return text


def web_url_of_production(url: str, param: str) -> None:
    """Raises InvalidInput for a URL that is not https: production sends nothing in the clear."""
    if not url.startswith("https://"):
        raise InvalidInput.of((param, "must begin with https://"))


def _email(text: str) -> str:
    text = text.strip()
    if len(text) > EMAIL_LENGTH_MAX or not _EMAIL.fullmatch(text) or text.index("@") > EMAIL_LOCAL_LENGTH_MAX:
        raise refused("must be an e-mail address")
    return text


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    """Limits of the wire contract; sizes are of the compact JSON. A number can be a card number as well."""
    if len(value) > METADATA_KEYS_MAX:
        raise refused(f"must have at most {METADATA_KEYS_MAX} keys")
    for key in value:
        if len(key) > METADATA_KEY_LENGTH_MAX:
            raise refused(f"must have keys of at most {METADATA_KEY_LENGTH_MAX} characters")
    text = orjson.dumps(value)
    if len(text) > METADATA_BYTES_MAX:
        raise refused(f"must have at most {METADATA_BYTES_MAX} bytes in all")
    if _LONG_NUMBER.search(text) is not None and contains_card_number(text.decode()):
        raise card_rejected("metadata")
    return value


def _moment(value: Any) -> Any:
    """Text as a time."""
    try:
        return parse_moment(value if isinstance(value, str) else "", "")
    except InvalidInput:
        raise refused("must be a time in ISO 8601, like 2026-01-31T12:00:00Z") from None


Amount = Annotated[int, Field(ge=1, le=AMOUNT_MAX)]
"""Minor units. JSON integers only: neither 1.0 nor "1" nor true."""
Currency = Annotated[
    str, AfterValidator(_currency), WithJsonSchema({"type": "string", "enum": sorted(CURRENCY_EXPONENTS)})
]
"""ISO 4217, in any case."""
Reference = Annotated[str, Field(min_length=1, max_length=255)]
"""An id of the merchant's own."""
WebUrl = Annotated[
    str,
    Field(max_length=URL_LENGTH_MAX),
    AfterValidator(web_url),
    WithJsonSchema({"type": "string", "format": "uri", "maxLength": URL_LENGTH_MAX}),
]
Email = Annotated[
    str,
    AfterValidator(_email),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": EMAIL_LENGTH_MAX}),
]
Metadata = Annotated[
    dict[str, Any],
    AfterValidator(_metadata),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": METADATA_KEYS_MAX,
            "propertyNames": {"maxLength": METADATA_KEY_LENGTH_MAX},
            "description": f"At most {METADATA_BYTES_MAX} bytes in all.",
        }
    ),
]
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
