"""Bodies of the calls on checkout sessions."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from payloops.commands.checkout_session import EXPIRES_IN_MAX, EXPIRES_IN_MIN
from payloops.http.schemas.base import Amount, Body, Currency, Email, Metadata, Reference, WebUrl
from payloops.values import AMOUNT_MAX

LINE_ITEMS_MAX: Final = 100
QUANTITY_MAX: Final = 1_000_000


class LineItemBody(Body):
    """One line of what is paid for; ``amount`` is of one piece, and may be nothing."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    amount: Annotated[int, Field(ge=0, le=AMOUNT_MAX)]
    quantity: Annotated[int, Field(ge=1, le=QUANTITY_MAX)] | None = None


class CreateSessionBody(Body):
    """``POST /v1/checkout/sessions``."""

    amount: Amount
    currency: Currency | None = None
    success_url: WebUrl
    cancel_url: WebUrl
    customer_id: Reference | None = None
    customer_email: Email | None = None
    metadata: Metadata | None = None
    line_items: Annotated[list[LineItemBody], Field(max_length=LINE_ITEMS_MAX)] | None = None
    expires_in_minutes: Annotated[int, Field(ge=EXPIRES_IN_MIN, le=EXPIRES_IN_MAX)] | None = None
