"""``payloops schemas``: the JSON Schemas of all events, written to ``docs/events`` or compared with it."""

from __future__ import annotations

import argparse
from pathlib import Path

from payloops.config import Settings
from payloops.events import schemas


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a file has drifted")
    parser.add_argument("--directory", type=Path, default=Path("docs/events"), help="default: docs/events")


def run(arguments: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 - every command has them
    """Write what changed, or name it and fail; returns the exit status."""
    if not arguments.check:
        for name in schemas.write(arguments.directory):
            print(f"wrote {arguments.directory / name}")
        return 0
    drifted = schemas.check(arguments.directory)
    for name in drifted:
        print(f"drifted: {arguments.directory / name}")
    if drifted:
        print("run: payloops schemas")
    return 1 if drifted else 0
