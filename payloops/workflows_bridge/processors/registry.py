"""From a processor's name and a merchant's credentials to an adapter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import assert_never

import aiohttp

from payloops.errors import InvalidProcessor
from payloops.values import Clock, SystemClock
from payloops.workflows_bridge.processors.base import TIMEOUT_S_DEFAULT, Processor, ProcessorName
from payloops.workflows_bridge.processors.razorpay import RazorpayProcessor
from payloops.workflows_bridge.processors.stripe import StripeProcessor
from payloops.workflows_bridge.processors.transport import Transport


def build_processor(
    name: ProcessorName | str,
    credentials: Mapping[str, str],
    *,
    api_base: str,
    http: aiohttp.ClientSession,
    timeout_s: float = TIMEOUT_S_DEFAULT,
    clock: Clock | None = None,
) -> Processor:
    """An adapter for one merchant's account; cheap enough to make for every ask.

    ``credentials`` are those of the merchant's configuration: ``secretKey``, or ``keyId`` and ``keySecret``.
    ``api_base`` is the API's address without ``/v1``. ``http`` comes from ``processor_session``.
    Raises ``InvalidProcessor``, without a credential in it, for an unknown name or unusable credentials.
    """
    try:
        processor = ProcessorName(name)
    except ValueError:
        raise InvalidProcessor("There is no such processor.", param="processor") from None
    transport = Transport(http, timeout_s=timeout_s)
    match processor:
        case ProcessorName.STRIPE:
            return StripeProcessor(
                _credential(credentials, "secretKey"),
                api_base=api_base,
                transport=transport,
                clock=clock or SystemClock(),
            )
        case ProcessorName.RAZORPAY:
            return RazorpayProcessor(
                _credential(credentials, "keyId", without=":"),
                _credential(credentials, "keySecret"),
                api_base=api_base,
                transport=transport,
            )
        case _:
            assert_never(processor)


def _credential(credentials: Mapping[str, str], name: str, *, without: str = " ") -> str:
    """Credentials go into a header: printable ASCII without blanks, or someone would write headers of their own."""
    value = credentials.get(name)
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value) or without in value:
        raise InvalidProcessor(
            f"The processor's credential {name} is missing or unusable.", param=f"credentials.{name}"
        )
    return value
