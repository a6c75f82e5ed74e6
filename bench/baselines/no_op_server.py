"""P4's baseline: a handler that answers the same bytes to everything."""
