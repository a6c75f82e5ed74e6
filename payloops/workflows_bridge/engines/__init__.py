"""What runs workflows: one small interface, an engine behind it for one machine, another for Temporal.

base       the interface that the relay speaks to
embedded   drives the machines from outbox rows with due times
"""
