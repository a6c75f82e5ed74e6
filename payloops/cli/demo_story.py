"""How the demo tells its story: calls with their answers, an order's timeline, two ledgers side by side."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from payloops.client.models import AuditEntry, Event

_WIDTH: Final = 110
_SHOWN_MAX: Final = 12
_REST_MAX: Final = 400
_TEST_CARD: Final = "pm_"
"""What names of test cards begin with: they are what the story is about."""
_HIDDEN: Final = frozenset({"password", "token", "secret", "secretKey", "keySecret", "clientSecret"})


class Story:
    """Prints for people; in colour on a terminal."""

    def __init__(self) -> None:
        self._colour = sys.stdout.isatty()

    def chapter(self, title: str) -> None:
        """A new step."""
        self._line("")
        self._line(self._paint("1;36", f"── {title} " + "─" * max(0, _WIDTH - len(title) - 4)))

    def say(self, text: str) -> None:
        """A remark."""
        for line in textwrap.wrap(text, _WIDTH - 2):
            self._line("  " + line)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None) -> None:
        """A request, secrets hidden."""
        shown = "" if body is None else " " + _compact(_without_secrets(body))
        self._wrapped(self._paint("1", f"{method} {path}"), shown)

    def answer(self, status: int, body: Any, fields: Sequence[str], took_ms: float) -> None:
        """A response: its status, the fields that matter here, its time."""
        colour = "32" if status < HTTPStatus.BAD_REQUEST else "31"
        shown = _without_secrets(body) if isinstance(body, dict) else body
        if fields and isinstance(shown, dict):
            shown = {name: shown.get(name) for name in fields}
        text = "" if body is None else _compact(shown)
        self._wrapped(self._paint(colour, f"→ {status}"), f" {text}", tail=f"  ({took_ms:.0f} ms)")

    def timeline(self, entries: Sequence[AuditEntry]) -> None:
        """An order's events in order, with the actor that caused each and its time since the first."""
        self._line("  timeline:")
        for entry in entries[:_SHOWN_MAX]:
            seconds = entry.occurred_at.isoformat(timespec="milliseconds")[11:23]
            self._line(f"    {entry.stream_version:>2}  {seconds}  {entry.type:<34} by {entry.actor.type}")

    def webhooks(self, events: Sequence[Event]) -> None:
        """What the shop's own server was told of an order, in the order in which it came."""
        self._line("  webhooks, as they reached the shop's server:")
        for event in events[:_SHOWN_MAX]:
            money = f"{event.amount} {event.currency}"
            self._line(f"    {event.sequence:>2}  {event.type:<26} order {event.status or '–':<19} {money}")

    def ledgers(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """(what, at our side, at the processor's); a difference is marked."""
        self._line(f"    {'':<44}{'ours':<30}{'processor':<30}")
        for what, ours, theirs in rows:
            mark = self._paint("32", "=") if ours == theirs else self._paint("1;31", "≠")
            self._line(f"    {what:<44}{ours:<30}{theirs:<30}{mark}")

    def good(self, text: str) -> None:
        """The end of a step that went as told."""
        self._line("  " + self._paint("32", "✓ ") + text)

    def _wrapped(self, head: str, rest: str, tail: str = "") -> None:
        if len(rest) > _REST_MAX:
            rest = rest[:_REST_MAX] + " …"
        self._line(f"  {head}{rest}{tail}")

    def _paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colour else text

    def _line(self, text: str) -> None:
        print(text, flush=True)


def _without_secrets(body: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in body.items():
        if name in _HIDDEN and isinstance(value, str) and not value.startswith(_TEST_CARD):
            shown[name] = value[:8] + "…"
        elif isinstance(value, Mapping):
            shown[name] = _without_secrets(value)
        else:
            shown[name] = value
    return shown


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
