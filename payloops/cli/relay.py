"""``payloops relay``."""

from __future__ import annotations

import argparse

from payloops.cli.surroundings import accept_supervisor, run_part
from payloops.config import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    accept_supervisor(parser)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT."""
    from payloops.bootstrap import relaying

    return run_part("relay", arguments, settings, relaying.run_relay, database=True)
