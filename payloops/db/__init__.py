"""Postgres: the pool, LISTEN, one statement that is called again and again, and SQL in named blocks."""

from payloops.db.blocks import load_sql, parse_sql_blocks
from payloops.db.database import (
    ANSWER_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    Connection,
    Database,
    answer_within,
    connection_string,
    is_connection_failure,
    is_unavailable,
    sever,
)
from payloops.db.prepared import BINARY, TEXT, PreparedStatement, array_literal, binary_array

__all__ = [
    "ANSWER_TIMEOUT_S",
    "BINARY",
    "CONNECT_TIMEOUT_S",
    "TEXT",
    "Connection",
    "Database",
    "PreparedStatement",
    "answer_within",
    "array_literal",
    "binary_array",
    "connection_string",
    "is_connection_failure",
    "is_unavailable",
    "load_sql",
    "parse_sql_blocks",
    "sever",
]
