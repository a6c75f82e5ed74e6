"""What travels is plain JSON, for workers in any language."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.converter import DataConverter

from payloops.workflows_bridge.temporal.conversion import CONVERTER

OURS = CONVERTER.payload_converter


@pytest.mark.parametrize(
    ("value", "document"),
    ((None, b"null"), ({"orderId": "o", "amount": 2**53 - 1}, b'{"amount":9007199254740991,"orderId":"o"}')),
)
def test_every_value_is_a_json_document(value: Any, document: bytes) -> None:
    payload = OURS.to_payload(value)
    assert payload.metadata["encoding"] == b"json/plain"
    assert payload.data == document
    assert OURS.from_payload(payload) == value


@pytest.mark.parametrize("value", (None, b"\x00\xff", {"a": [1]}, "x"))
def test_what_the_sdks_of_others_send_is_read(value: Any) -> None:
    assert OURS.from_payload(DataConverter.default.payload_converter.to_payload(value)) == value
