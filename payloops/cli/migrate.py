"""``payloops migrate``."""

from __future__ import annotations

import argparse

from payloops.cli.surroundings import run_task
from payloops.config import Settings
from payloops.migrations import runner


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments: none."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 - every command has them
    """Apply what is missing; say what was applied."""
    return run_task("migrate", settings, _migrate)


def _migrate(settings: Settings) -> int:
    applied = runner.migrate(settings.migration_database_url, app_dsn=settings.database_url)
    for migration in applied:
        print(f"applied {migration.name}")
    if not applied:
        print("nothing to do: the schema is current")
    return 0
