r"""Bodies: strict JSON (RFC 8259) and nothing that two parsers could read differently.

Refused are NaN and Infinity, numbers beyond a double's or 64 bits' range, duplicate names, nesting over 32 (the root
counts as 1), ``\u0000``, lone surrogates, bytes that are not UTF-8, and card numbers in any string. Limits hold for
the body as sent and as decompressed.

orjson refuses most of that by itself. What it lets pass is found without a second parse where the text has no
backslash: then every quote delimits a string, so a name that orjson dropped as a duplicate leaves two quotes too many.
"""

from __future__ import annotations

import json
import re
import zlib
from typing import Any, Final, TypeAlias

import orjson

from payloops.errors import InvalidInput, InvalidJson, RawCardRejected, sentence
from payloops.http.connection import BODY_BYTES_MAX
from payloops.http.errors import PayloadTooLarge, UnsupportedMediaType
from payloops.http.fields import look_at_body, shown
from payloops.http.message import Request
from payloops.telemetry import contains_card_number

NESTING_MAX: Final = 32
PLACE_LENGTH_MAX: Final = 80
"""Of a place in the body that a message names; one more name may follow."""
_INTEGER_MIN: Final = -(2**63)
_INTEGER_MAX: Final = 2**64 - 1
_INTEGER_DIGITS_MAX: Final = 20
_DOUBLE_EXACT_MAX: Final = 2.0**63
_GZIP_WINDOW: Final = 31
_JSON_TYPE: Final = re.compile(
    r"application/(?:json|[a-z0-9.-]+\+json)[ \t]*(?:;[ \t]*charset=\"?utf-8\"?[ \t]*)?;?", re.IGNORECASE
)
_CARD_LIKE: Final = re.compile(r"[0-9](?:[ -]?[0-9]){12}")
_CARD_LIKE_BYTES: Final = re.compile(rb"[0-9](?:[ -]?[0-9]){12}")

Object: TypeAlias = dict[str, Any]


def read_object(request: Request, *, bytes_max: int = BODY_BYTES_MAX) -> Object:
    """The body's JSON object; an empty body is an empty object.

    Raises InvalidJson, InvalidInput (not an object, a misspelt field), RawCardRejected, UnsupportedMediaType,
    PayloadTooLarge.
    """
    body = request.body
    headers = request.headers
    encoding = headers.get("Content-Encoding")
    if encoding is not None:
        body = _decompressed(body, encoding, bytes_max)
    if not body:
        return {}
    content_type = headers.get("Content-Type", "")
    if content_type != "application/json" and not _JSON_TYPE.fullmatch(content_type):
        raise UnsupportedMediaType("Send the body as JSON in UTF-8: Content-Type: application/json.")
    parsed = parse(body)
    if type(parsed) is not dict:
        raise InvalidInput("The body must be a JSON object.")
    look_at_body(request, parsed)
    return parsed


def parse(body: bytes, *, cards: bool = False) -> Any:
    """The value of a JSON text. Raises InvalidJson, and RawCardRejected unless ``cards`` may stand in it.

    A processor's own event is taken with a number in some text that reads like a card's.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise InvalidJson(f"The body is not the JSON that we take: {_reason(problem, body)}.") from None
    escaped = b"\\" in body
    strings, needs_exact_parse = _survey(value)
    if escaped or needs_exact_parse or strings * 2 != body.count(b'"'):
        _parse_exactly(body)
    if escaped or (not cards and _CARD_LIKE_BYTES.search(body) is not None):
        _check_strings(value, cards=cards)
    return value


def _survey(root: Any) -> tuple[int, bool]:
    """How many strings the value has, names included, and whether a number may have lost digits. Raises InvalidJson."""
    strings = 0
    inexact = False
    level = [root]
    depth = 0
    while level:
        below: list[Any] = []
        too_deep = depth == NESTING_MAX
        for value in level:
            kind = type(value)
            if kind is str:
                strings += 1
            elif kind is dict or kind is list:
                if too_deep:
                    raise InvalidJson(f"The body is nested more than {NESTING_MAX} deep.")
                if kind is dict:
                    strings += len(value)
                    below += value.values()
                else:
                    below += value
            elif kind is float and not -_DOUBLE_EXACT_MAX < value < _DOUBLE_EXACT_MAX:
                inexact = True
        depth += 1
        level = below
    return strings, inexact


def _parse_exactly(body: bytes) -> None:
    """What the fast parser is silent about: duplicate names, and integers that it made a float. Raises InvalidJson."""
    try:
        _EXACT.decode(body.decode())
    except ValueError as problem:
        if isinstance(problem, json.JSONDecodeError):
            raise InvalidJson("The body is not the JSON that we take.") from None
        raise InvalidJson(f"The body is not the JSON that we take: {problem}.") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("an object has the same name twice")


def _exact_integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS_MAX or not _INTEGER_MIN <= int(digits) <= _INTEGER_MAX:
        raise ValueError("an integer has more than 64 bits")
    return 0


_EXACT: Final = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_int=_exact_integer)


def _check_strings(root: Any, *, cards: bool) -> None:
    """Raises InvalidJson for a NUL, RawCardRejected for a card number, in any string, names included."""
    waiting: list[tuple[Any, str]] = [(root, "")]
    while waiting:
        value, place = waiting.pop()
        if isinstance(value, str):
            _check_string(value, place, cards=cards)
        elif isinstance(value, dict):
            for name in value:
                # Before what is in it: a place is told, so no name of it may be a card number.
                _check_string(name, place, cards=cards)
            waiting += ((inner, _inside(place, shown(name))) for name, inner in value.items())
        elif isinstance(value, list):
            waiting += ((inner, _inside(place, str(index))) for index, inner in enumerate(value))


def _inside(place: str, name: str) -> str:
    """The place of what has that name there; of what is far inside, the place that it is in."""
    if not place:
        return name
    return place if len(place) > PLACE_LENGTH_MAX else f"{place}.{name}"


def _check_string(text: str, place: str, *, cards: bool) -> None:
    if "\0" in text:
        raise InvalidJson("The body is not the JSON that we take: a string holds a NUL.")
    if not cards and _CARD_LIKE.search(text) is not None and contains_card_number(text):
        raise card_rejected(place)


def card_rejected(place: str) -> RawCardRejected:
    """The error for a card number: where it stands, as far as there is a name for that, and not which it is."""
    problem = "holds a raw card number; send a token of the processor instead"
    details = ((place, problem),) if place else ()
    return RawCardRejected(sentence(place, problem), param=place or None, details=details)


def _decompressed(body: bytes, encoding: str, bytes_max: int) -> bytes:
    name = encoding.strip().lower()
    if name in {"identity", ""}:
        return body
    if name != "gzip":
        raise UnsupportedMediaType("The body may be sent plain or with Content-Encoding: gzip.")
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = inflater.decompress(body, bytes_max + 1)
    except zlib.error:
        raise InvalidJson("The body is not valid gzip.") from None
    if len(plain) > bytes_max:
        raise PayloadTooLarge(f"The body is larger than {bytes_max} bytes when decompressed.")
    if not inflater.eof or inflater.unused_data:
        raise InvalidJson("The body is not valid gzip.")
    return plain


def _reason(problem: orjson.JSONDecodeError, body: bytes) -> str:
    """The parser's reason, which never quotes the text, and the place."""
    try:
        body.decode()
    except UnicodeDecodeError as broken:
        # Of this the parser does not know the place.
        return f"it is not valid UTF-8 at byte {broken.start}"
    return f"{problem.msg.partition(':')[0]} at character {problem.pos}"
