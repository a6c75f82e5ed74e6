"""The dashboard API, for users with a token."""
