"""Events that processors send: taken in here, processed by the relay."""
