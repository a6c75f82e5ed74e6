"""Finds the command that was asked for, reads the settings, and turns expected failures into one line and a status."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, cast

import psycopg

from payloops.cli.dotenv import read_dotenv
from payloops.config import Settings
from payloops.errors import ConfigurationError, PayloopsError
from payloops.telemetry import redact_text

COMMANDS: Final[Mapping[str, str]] = {
    "up": "everything on one machine: Postgres, migrations, API, relay, engine, sandbox",
    "demo": "start everything, take payments through it, and say what happened",
    "api": "the HTTP API",
    "relay": "the outbox relay, with the embedded workflow engine where that is chosen",
    "worker": "the Temporal worker",
    "projector": "the asynchronous projections",
    "sandbox": "the simulator of Stripe and Razorpay, for development and tests",
    "migrate": "bring the database to this release's schema",
    "schemas": "write the JSON schemas of all events to docs/events, or check them",
    "projections": "compare read tables with the log, or rebuild them",
    "outbox": "list parked effects, or let one go on",
    "audit": "search the audit trail",
}

OK: Final = 0
FAILED: Final = 1
MISUSED: Final = 2
"""A wrong command line or setting: starting again will not help."""
INTERRUPTED: Final = 130


class Command(Protocol):
    """What a module of this package provides."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's own arguments."""

    def run(self, arguments: argparse.Namespace, settings: Settings) -> int:
        """Do it and return the exit status."""
        ...


def run(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """Run one command line. ``environ`` defaults to the process's, over ``.env`` of the working directory."""
    parser = argparse.ArgumentParser(
        prog="payloops",
        usage="payloops COMMAND [options]",
        description="PayLoops backend. Settings come from the environment; see .env.example.",
        epilog="\n".join(f"  {name:12} {purpose}" for name, purpose in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of:")
    name: str = parser.parse_args(argv[:1]).command
    command = cast("Command", importlib.import_module(f"payloops.cli.{name}"))
    own = argparse.ArgumentParser(prog=f"payloops {name}", description=COMMANDS[name])
    command.configure(own)
    arguments = own.parse_args(argv[1:])
    try:
        return command.run(arguments, Settings.from_env(read_dotenv(Path(".env")) | dict(environ or os.environ)))
    except ConfigurationError as problem:
        return _fail(problem.message, MISUSED)
    except PayloopsError as problem:
        return _fail(problem.message, FAILED)
    except psycopg.OperationalError as problem:
        return _fail(f"the database can't be used: {' '.join(str(problem).split())}", FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED


def _fail(message: str, status: int) -> int:
    print(f"payloops: {redact_text(message)}", file=sys.stderr, flush=True)
    return status
