"""PayLoops backend: an event-sourced payment gateway."""
