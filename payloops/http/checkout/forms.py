"""Forms of the checkout pages: what a browser sends when a button is pressed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import parse_qsl

from payloops.errors import Forbidden, InvalidInput
from payloops.http.errors import PayloadTooLarge, UnsupportedMediaType
from payloops.http.json_body import card_rejected
from payloops.http.message import Request
from payloops.telemetry import contains_card_number

FORM_BYTES_MAX: Final = 8 * 1024
_FIELDS_MAX: Final = 20
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_OWN_SITE: Final = frozenset({"same-origin", "none"})
_ATTEMPT: Final = re.compile(r"[0-9]{1,3}", re.ASCII)
_TOKEN: Final = re.compile(r"[A-Za-z]{2,20}_[A-Za-z0-9_]{1,220}", re.ASCII)
PAY_FORM: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["attempt", "processor"],
    "properties": {
        "attempt": {"type": "string", "pattern": f"^{_ATTEMPT.pattern}$"},
        "processor": {"type": "string", "enum": ["stripe", "razorpay"]},
        "token": {"type": "string", "pattern": f"^(?:{_TOKEN.pattern})?$"},
    },
}
"""The JSON Schema of what ``read_pay_form`` takes."""


@dataclass(frozen=True, slots=True)
class PayForm:
    """Pay was pressed, on a page that was made for this attempt. ``token`` is the processor's payment method."""

    attempt: int
    processor: Literal["stripe", "razorpay"]
    token: str | None = field(repr=False)


def require_own_page(request: Request) -> None:
    """Raises Forbidden when the browser says that another site's page sent this.

    ``Sec-Fetch-Site`` and not ``Origin``: a page without a referrer posts with ``Origin: null``. Whoever is no browser,
    or an old one, says nothing; there the id in the address is the key, as everywhere.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin").strip().lower() not in _OWN_SITE:
        raise Forbidden("Another site's page sent this form.")


def read_pay_form(request: Request) -> PayForm:
    """Raises InvalidInput, RawCardRejected, UnsupportedMediaType, PayloadTooLarge."""
    fields = read_form(request)
    attempt, processor, token = fields.get("attempt", ""), fields.get("processor", ""), fields.get("token") or None
    if not _ATTEMPT.fullmatch(attempt):
        raise InvalidInput("attempt is missing: load the page again.", param="attempt")
    if token is not None and contains_card_number(token):
        raise card_rejected("token")
    if token is not None and not _TOKEN.fullmatch(token):
        raise InvalidInput("token is none of a payment method.", param="token")
    match processor:
        case "stripe" | "razorpay":
            return PayForm(int(attempt), processor, token)
        case _:
            raise InvalidInput("processor must be stripe or razorpay.", param="processor")


def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a form; of one that is given twice the first counts.

    Raises InvalidInput, UnsupportedMediaType, PayloadTooLarge.
    """
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        raise UnsupportedMediaType("The page's form is sent as application/x-www-form-urlencoded.")
    if "Content-Encoding" in request.headers:
        raise UnsupportedMediaType("A form is sent plain.")
    if len(request.body) > FORM_BYTES_MAX:
        raise PayloadTooLarge(f"A form has at most {FORM_BYTES_MAX} bytes.")
    try:
        text = request.body.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise InvalidInput("The form can't be read.") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields
