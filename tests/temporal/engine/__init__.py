"""The service over a real Temporal server."""
