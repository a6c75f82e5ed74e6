"""Bodies of the calls on processor configurations."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from payloops.errors import InvalidProcessor
from payloops.http.schemas.base import Body, refused

CREDENTIAL_LENGTH_MAX: Final = 512
PRIORITY_DEFAULT: Final = 1


def _credential(text: str) -> str:
    """A credential goes into a header: anything but printable ASCII without blanks could write others beside it."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise refused("must be printable ASCII without blanks")
    return text


Credential = Annotated[str, Field(min_length=1, max_length=CREDENTIAL_LENGTH_MAX), AfterValidator(_credential)]
Priority = Annotated[int, Field(ge=1, le=100)]


class StripeCredentials(Body):
    """Stripe's keys, from its dashboard."""

    secret_key: Credential
    publishable_key: Credential | None = None
    webhook_secret: Credential | None = None


class RazorpayCredentials(Body):
    """Razorpay's keys, from its dashboard."""

    key_id: Credential
    key_secret: Credential
    webhook_secret: Credential | None = None


class ProcessorFlagsBody(Body):
    """``PATCH /api/processors/:processor``: what is not sent stays."""

    enabled: bool | None = None
    priority: Priority | None = None
    test_mode: bool | None = None


class StripeBody(ProcessorFlagsBody):
    """``POST /api/processors/stripe``."""

    credentials: StripeCredentials


class RazorpayBody(ProcessorFlagsBody):
    """``POST /api/processors/razorpay``."""

    credentials: RazorpayCredentials


BODIES: Final[dict[str, type[StripeBody | RazorpayBody]]] = {"stripe": StripeBody, "razorpay": RazorpayBody}


def body_of(processor: object) -> type[StripeBody | RazorpayBody]:
    """The body class of a processor. Raises InvalidProcessor for one that we don't have."""
    found = BODIES.get(processor) if isinstance(processor, str) else None
    if found is None:
        raise InvalidProcessor(f"processor must be one of {', '.join(sorted(BODIES))}.", param="processor")
    return found
