"""The only place where objects are wired together, for processes and tests alike.

core         what every process stands on: the database, the log, the aggregates with all that their events write
api          what the API's handlers work with, and its process
readiness    the parts of /health/ready
engine_view  what the API sees of the workflow engine
relaying     the relay with its engine and what it does besides, and its process
working      Temporal's workers, and their process
running      how a process of the service runs

A process imports the module that it runs: a relay need not wait for what only the API needs, nor the other way round.
"""
