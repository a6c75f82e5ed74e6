"""Log lines: one JSON object per line for machines, one readable line for people. No value can forge a line."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal, TextIO, TypeAlias

from payloops.telemetry.correlation import correlation_id
from payloops.telemetry.redaction import MASK, is_secret_name, redact, redact_text
from payloops.telemetry.tracing import current_trace
from payloops.values import iso

ExceptionInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

_MESSAGE_CHARACTERS_MAX: Final = 8_192
_EXCEPTION_CHARACTERS_MAX: Final = 16_384
_OWN_ATTRIBUTES: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_ENCODER: Final = json.JSONEncoder(ensure_ascii=True, check_circular=False, separators=(",", ":"))
_QUIET_LOGGERS: Final = (
    *("psycopg", "psycopg.pool", "aiohttp.access", "asyncio", "stripe", "urllib3", "opentelemetry", "hpack"),
    *("temporalio",),
)


class JsonFormatter(logging.Formatter):
    """A record as one line of ASCII JSON; fields of ``extra`` stand beside ours and can't replace them."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = _extra_fields(record)
        line |= {
            "time": iso(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            "service": self._service,
        }
        line |= _context_fields(record)
        if (exception := _exception(record)) is not None:
            line["exception"] = exception
        return _ENCODER.encode(line)


class ConsoleFormatter(logging.Formatter):
    """A record as a line for a terminal; control characters are shown as escapes, a traceback is indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = datetime.fromtimestamp(record.created, UTC).astimezone()
        fields = "".join(f" {_shown(name)}={_shown(str(value))}" for name, value in _extra_fields(record).items())
        correlation = correlation_id.get()
        if correlation:
            fields += f" correlationId={_shown(correlation)}"
        time = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
        line = f"{time} {record.levelname:7} {_shown(_message(record))}{fields}"
        if (exception := _exception(record)) is not None:
            line += "".join(f"\n    {_shown(text)}" for text in exception.splitlines())
        return line


def configure_logging(
    *,
    service: str,
    level: Literal["debug", "info", "warning", "error"],
    style: Literal["auto", "json", "console"],
    stream: TextIO | None = None,
) -> None:
    """Send the process's logs to ``stream`` (standard error), replacing what was configured before."""
    target = sys.stderr if stream is None else stream
    console = style == "console" or (style == "auto" and target.isatty())
    handler = logging.StreamHandler(target)
    handler.setFormatter(ConsoleFormatter() if console else JsonFormatter(service))
    root = logging.getLogger()
    for previous in root.handlers[:]:
        root.removeHandler(previous)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(capture=True)
    # A reader of our logs that went away must not turn every line into a traceback on the same stream.
    logging.raiseExceptions = False


def _message(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except (TypeError, ValueError):
        message = f"{record.msg!s} (its arguments do not fit)"
    return redact_text(message[:_MESSAGE_CHARACTERS_MAX])


def _extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    return {
        name: MASK if is_secret_name(name) else redact(value)
        for name, value in record.__dict__.items()
        if name not in _OWN_ATTRIBUTES
    }


def _context_fields(record: logging.LogRecord) -> dict[str, str]:
    # A library's line may be about something that its task does not work for; a filter of ours then says what.
    fields = {"correlationId": correlation_id.get() or _text(getattr(record, "correlationId", ""))}
    trace = current_trace()
    if trace is not None:
        fields |= {"trace_id": trace.trace_id, "span_id": trace.span_id}
    return fields


def _text(value: object) -> str:
    return redact_text(value) if isinstance(value, str) else ""


def _exception(record: logging.LogRecord) -> str | None:
    if not record.exc_info:
        return None
    text = "".join(traceback.format_exception(*record.exc_info)).strip()
    # The end of a traceback tells what happened, so a long one loses its beginning.
    return redact_text(text[-_EXCEPTION_CHARACTERS_MAX:])


def _shown(text: str) -> str:
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
