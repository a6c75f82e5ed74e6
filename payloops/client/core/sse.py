"""Server-sent events from bytes as they come (WHATWG HTML, 9.2.6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

EVENT_BYTES_MAX: Final = 4 * 1024 * 1024
_RETRY_MS_MAX: Final = 60_000


@dataclass(frozen=True, slots=True)
class Frame:
    """One server-sent event."""

    data: str
    id: str
    """The last id that the stream named."""


class FrameParser:
    """Server-sent events from bytes as they come (WHATWG HTML, 9.2.6)."""

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        """What the service asked for."""
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._id = ""

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The events that this chunk completes. Raises ValueError for one that is too large."""
        self._rest += chunk
        # A carriage return at the very end may be the first half of a line's end.
        held = b"\r" if self._rest.endswith(b"\r") else b""
        text = self._rest[: len(self._rest) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._rest = rest + held
        if self._size + len(self._rest) > EVENT_BYTES_MAX:
            raise ValueError("too large")
        for line in lines:
            frame = self._line(line)
            if frame is not None:
                yield frame

    def _line(self, line: bytes) -> Frame | None:
        if not line:
            data, self._data, self._size = b"\n".join(self._data), [], 0
            return Frame(data.decode("utf-8", "replace"), self._id) if data else None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._size += len(value) + 1
                if self._size > EVENT_BYTES_MAX:
                    raise ValueError("too large")
                self._data.append(value)
            case b"id" if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
            case b"retry" if value.isdigit():
                self.retry_ms = min(int(value[:9]), _RETRY_MS_MAX)
            case _:
                pass
        return None
