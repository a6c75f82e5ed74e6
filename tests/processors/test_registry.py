"""From a name and credentials to an adapter."""

from __future__ import annotations

import aiohttp
import pytest

from payloops.errors import InvalidProcessor
from payloops.workflows_bridge.processors.registry import build_processor

GOOD = {"secretKey": "sk_test_canary", "keyId": "rzp_test_1", "keySecret": "canary"}


@pytest.mark.parametrize("name", ("stripe", "razorpay"))
async def test_an_adapter_shows_no_credential(http: aiohttp.ClientSession, name: str) -> None:
    processor = build_processor(name, GOOD, api_base="http://127.0.0.1:1", http=http)
    assert "canary" not in f"{processor} {processor!r}"
    await processor.close()


@pytest.mark.parametrize(
    ("name", "missing"), (("stripe", "secretKey"), ("razorpay", "keyId"), ("razorpay", "keySecret"))
)
@pytest.mark.parametrize("value", (None, "", "canary\r\nX-Evil: 1", "canary canary", "canäry", "canary\x00", 5))
async def test_unusable_credentials(
    http: aiohttp.ClientSession, name: str, missing: str, value: str | int | None
) -> None:
    credentials = {key: text for key, text in (GOOD | {missing: value}).items() if text is not None}
    with pytest.raises(InvalidProcessor) as refused:
        build_processor(name, credentials, api_base="http://127.0.0.1:1", http=http)  # type: ignore[arg-type]
    assert refused.value.param == f"credentials.{missing}"
    assert "canary" not in f"{refused.value} {refused.value!r}"


async def test_a_key_id_can_not_hold_the_separator(http: aiohttp.ClientSession) -> None:
    with pytest.raises(InvalidProcessor):
        build_processor("razorpay", GOOD | {"keyId": "rzp:test"}, api_base="http://127.0.0.1:1", http=http)


async def test_an_unknown_processor(http: aiohttp.ClientSession) -> None:
    with pytest.raises(InvalidProcessor):
        build_processor("paypal", GOOD, api_base="http://127.0.0.1:1", http=http)
