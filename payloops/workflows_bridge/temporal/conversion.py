"""How values travel: every value is one JSON document (``json/plain``), ``null`` included."""

from __future__ import annotations

import dataclasses
from typing import Final

from temporalio.converter import (
    BinaryNullPayloadConverter,
    BinaryPlainPayloadConverter,
    CompositePayloadConverter,
    DataConverter,
    JSONPlainPayloadConverter,
)


class PlainJson(CompositePayloadConverter):
    """JSON for whatever goes out; of what comes in, also nothing at all and bytes.

    The SDK writes None as ``binary/null``, which other languages' SDKs read as *absent*; the wire contract says null.
    """

    def __init__(self) -> None:
        super().__init__(JSONPlainPayloadConverter(), BinaryNullPayloadConverter(), BinaryPlainPayloadConverter())


CONVERTER: Final = dataclasses.replace(DataConverter.default, payload_converter_class=PlainJson)
