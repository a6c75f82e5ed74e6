"""``payloops migrate``."""

from __future__ import annotations

import argparse

from payloops import telemetry
from payloops.cli.surroundings import database_of
from payloops.config import Settings
from payloops.migrations import runner


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments: none."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 - every command has them
    """Apply what is missing; say what was applied."""
    reporting = telemetry.start(settings, "migrate")
    try:
        with database_of(settings) as ready:
            applied = runner.migrate(ready.migration_database_url, app_dsn=ready.database_url)
    finally:
        reporting.stop()
    for migration in applied:
        print(f"applied {migration.name}")
    if not applied:
        print("nothing to do: the schema is current")
    return 0
