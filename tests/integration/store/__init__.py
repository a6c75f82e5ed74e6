"""The event store on a real Postgres."""
