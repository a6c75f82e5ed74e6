"""Commands through the handler on a real Postgres."""
