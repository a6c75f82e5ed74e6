"""``payloops audit ID``: the events of one order or merchant, with their actors, secrets masked."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

import orjson

from payloops.cli.surroundings import run_task
from payloops.config import Settings
from payloops.errors import NotFound, PayloopsError

PAGE_EVENTS: Final = 100


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    parser.add_argument("id", type=UUID, help="the id of an order or of a merchant")
    parser.add_argument("--json", action="store_true", help="one JSON object per line, as the HTTP API has them")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the events, oldest first.

    :raises NotFound: there is no such stream.
    :raises PayloopsError: an event of it can't be read; those before it have been printed.
    """
    return run_task("audit", settings, lambda ready: asyncio.run(_print_trail(ready, arguments.id, arguments.json)))


async def _print_trail(settings: Settings, stream_id: UUID, as_json: bool) -> int:  # noqa: FBT001 - a flag it is
    found = False
    async for entry in _entries(settings, stream_id):
        found = True
        print(orjson.dumps(entry).decode() if as_json else _line(entry))
    if not found:
        raise NotFound(f"no events of {stream_id}")
    return 0


async def _entries(settings: Settings, stream_id: UUID) -> AsyncIterator[dict[str, Any]]:
    from payloops.bootstrap.core import core
    from payloops.events.codec import UnreadableEvent
    from payloops.projections.audit import AuditEntry, wire_entry

    async with core(settings, "audit") as base:
        version = 0
        try:
            while page := await base.store.read_stream(stream_id, after_version=version, limit=PAGE_EVENTS):
                for logged in page:
                    version = logged.event.originator_version
                    yield wire_entry(AuditEntry(logged.position, logged.recorded_at, logged.event))
        except UnreadableEvent as problem:
            raise PayloopsError(f"an event can't be read: {problem}") from problem


def _line(entry: dict[str, Any]) -> str:
    actor = ":".join(str(part) for part in entry["actor"].values() if part is not None)
    head = f"{entry['position']:>8}  {entry['occurredAt']}  v{entry['streamVersion']:<4} {entry['type']:<32} {actor}"
    line = f"{head}  {entry['correlationId']}  {orjson.dumps(entry['data']).decode()}"
    # A terminal must show what was written, not obey it.
    return "".join(character if character.isprintable() else "?" for character in line)
