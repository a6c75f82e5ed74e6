"""What happened: events and state of each aggregate, their registry, and the store that keeps them."""
