"""Tests on a real Postgres, real HTTP and the real sandbox."""
