"""The table of faults at its smallest size, for every run of the tests."""
