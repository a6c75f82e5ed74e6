"""The program: ``payloops …`` or ``python -m payloops …``."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

FOREIGN_THREADS: Final = "temporalio.bridge"
"""Once loaded it has threads of its own, which nobody can end, and which call Python whenever they have something to
say. One that does so while the interpreter is taken down aborts the process: ``PyGILState_Ensure`` fails there."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    from payloops.cli.commands import run

    return run(sys.argv[1:] if argv is None else argv)


def program() -> NoReturn:
    """Run the process's own command line and end the process with its status.

    All that a command began has ended when it returns. So with foreign threads about nothing is left to take down, and
    the process ends at once.
    """
    status = main()
    if FOREIGN_THREADS in sys.modules:
        logging.shutdown()
        with contextlib.suppress(OSError):
            # Whoever read it may have gone.
            sys.stdout.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    program()
