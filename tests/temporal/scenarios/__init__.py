"""One behaviour, two engines: what happens to orders and deliveries, written once, run through both.

schedules   the two schedules that the scenarios live by
workflows   the workflows with these schedules
story       a history without what differs from one run to the next
payments, deliveries    the scenarios
stages      an engine, running, over a database of its own
table       runs scenarios on both engines and lays the histories side by side
histories   what Temporal recorded of them, kept for replays

``python -m tests.temporal.scenarios`` prints the table.
"""
