"""Requests as the bytes that go over the wire, and one request at a time for setting things up."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any, Final

from bench.worker import MeasurementError

_REQUEST_S: Final = 30.0


def render(method: str, path: str, headers: Mapping[str, str], body: Any = None) -> str:
    """One HTTP/1.1 request. A str body is sent as it is, anything else as JSON."""
    content = "" if body is None else body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None:
        lines.append(f"Content-Length: {len(content.encode())}")
        if "Content-Type" not in headers:
            lines.append("Content-Type: application/json")
    return "\r\n".join(lines) + "\r\n\r\n" + content


def call(port: int, method: str, path: str, headers: Mapping[str, str], body: Any, *, status: int) -> Any:
    """The JSON that a request is answered with. Raises MeasurementError for another status than ``status``."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_REQUEST_S)
    try:
        content = json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status != status:
        raise MeasurementError(f"{method} {path} was answered {answer.status}: {text[:300]}")
    return json.loads(text)
