"""Tests of the outbox and its relays on a real Postgres."""
