"""``python -m payloops.temporal_server``: bring the program if need be, and print where it is."""

from __future__ import annotations

import logging
import sys

from payloops.temporal_server.program import TemporalServerError, find_program


def main() -> int:
    """The exit status: 0 when there is one."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        sys.stdout.write(f"{find_program()}\n")
    except TemporalServerError as problem:
        sys.stderr.write(f"{problem.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
