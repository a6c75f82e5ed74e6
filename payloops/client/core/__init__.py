"""The client without its transports: requests built, answers read, retries decided. No I/O, no clock, no sleep."""
