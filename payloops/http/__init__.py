"""The HTTP interface: from bytes to commands and queries, and back. It knows neither the driver nor the store."""
