"""What must not break the service: faults, a driver that works on through them, and a checker after each."""
