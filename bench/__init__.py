"""Measurements, each beside its baseline in one run: ``python -m bench``, or ``make bench``."""
