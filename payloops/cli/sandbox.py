"""``payloops sandbox``."""

from __future__ import annotations

import argparse

from payloops.cli.surroundings import accept_supervisor, ensure_port_free, run_part
from payloops.config import SANDBOX_HOST, Settings
from payloops.errors import ConfigurationError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    accept_supervisor(parser)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT.

    :raises ConfigurationError: this is production, or one of the two ports is taken.
    """
    from payloops.bootstrap import running

    if settings.production:
        raise ConfigurationError("PAYLOOPS_ENV is production: there is no sandbox; use the processors' test modes")
    ensure_sandbox_ports_free(settings)
    return run_part("sandbox", arguments, settings, running.run_sandbox, database=False)


def ensure_sandbox_ports_free(settings: Settings) -> None:
    """Both ports of the simulator can be had.

    :raises ConfigurationError: one is taken.
    """
    for port in (settings.sandbox_port, settings.sandbox_port + 1):
        ensure_port_free(SANDBOX_HOST, port, "SANDBOX_PORT")
