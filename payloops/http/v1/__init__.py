"""The merchant API, for API keys."""
