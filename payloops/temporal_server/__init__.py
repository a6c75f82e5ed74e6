"""A Temporal dev server of our own for development and tests: the ``temporal`` program, found or brought, and run."""

from payloops.temporal_server.program import TemporalServerError, cache_dir, find_program
from payloops.temporal_server.server import Ports, ServerAddress, TemporalServer, find_running, start

__all__ = [
    "Ports",
    "ServerAddress",
    "TemporalServer",
    "TemporalServerError",
    "cache_dir",
    "find_program",
    "find_running",
    "start",
]
