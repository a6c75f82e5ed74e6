"""Bodies of the calls on processor configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, RootModel

from payloops.errors import InvalidInput, InvalidProcessor, sentence
from payloops.http.schemas.base import Body, refused

CREDENTIAL_LENGTH_MAX: Final = 512
PRIORITY_DEFAULT: Final = 1


def _credential(text: str) -> str:
    """A credential goes into a header: anything but printable ASCII without blanks could write others beside it."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise refused("must be printable ASCII without blanks")
    return text


def _signing_secret(text: str) -> str:
    """What signs events goes into no header, and at Razorpay the merchant thinks it up."""
    if not text.isprintable():
        raise refused("must be printable")
    return text


Credential = Annotated[
    str,
    Field(min_length=1, max_length=CREDENTIAL_LENGTH_MAX, json_schema_extra={"pattern": r"^[\x21-\x7e]+$"}),
    AfterValidator(_credential),
]
SigningSecret = Annotated[str, Field(min_length=1, max_length=CREDENTIAL_LENGTH_MAX), AfterValidator(_signing_secret)]
Priority = Annotated[int, Field(ge=1, le=100)]


class StripeCredentials(Body):
    """Stripe's keys, from its dashboard."""

    secret_key: Credential
    publishable_key: Credential | None = None
    webhook_secret: SigningSecret | None = None


class RazorpayCredentials(Body):
    """Razorpay's keys, from its dashboard."""

    key_id: Credential
    key_secret: Credential
    webhook_secret: SigningSecret | None = None


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


class NamedStripeBody(StripeBody):
    """``POST /api/processors`` for Stripe."""

    processor: Literal["stripe"]


class NamedRazorpayBody(RazorpayBody):
    """``POST /api/processors`` for Razorpay."""

    processor: Literal["razorpay"]


class NamedProcessorBody(RootModel[Annotated[NamedStripeBody | NamedRazorpayBody, Field(discriminator="processor")]]):
    """``POST /api/processors``, as it is described."""


BODIES: Final[dict[str, type[StripeBody | RazorpayBody]]] = {"stripe": StripeBody, "razorpay": RazorpayBody}


_KEYS: Final = {
    # processor: (field that tells the mode, beginnings of test keys, beginnings of live keys)
    "stripe": ("secretKey", ("sk_test_", "rk_test_"), ("sk_live_", "rk_live_")),
    "razorpay": ("keyId", ("rzp_test_",), ("rzp_live_",)),
}


def require_mode(processor: str, credentials: Mapping[str, str], *, test_mode: bool) -> None:
    """Raises InvalidInput when the processor's key says that it is of the other mode.

    Test orders would charge real cards, or live ones be paid with cards of the documentation. Keys say their mode:
    https://docs.stripe.com/keys, https://razorpay.com/docs/payments/dashboard/account-settings/api-keys/.
    """
    field, test, live = _KEYS[processor]
    key = credentials.get(field, "")
    if test_mode and key.startswith(live):
        problem = f"must be false with this {field}, which is a live key: test orders would charge real cards"
    elif not test_mode and key.startswith(test):
        problem = f"must be true with this {field}, which is a test key: live orders would be paid without money"
    else:
        return
    raise InvalidInput.of(("testMode", problem))


def body_of(processor: object) -> type[StripeBody | RazorpayBody]:
    """The body class of a processor. Raises InvalidProcessor for one that we don't have."""
    found = BODIES.get(processor) if isinstance(processor, str) else None
    if found is None:
        problem = f"must be one of {', '.join(sorted(BODIES))}"
        raise InvalidProcessor(sentence("processor", problem), param="processor", details=(("processor", problem),))
    return found
