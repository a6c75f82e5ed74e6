"""Temporal as the engine: how this service speaks to the server, and what it runs for it.

conversion    how values travel: plain JSON, readable by workers in any language
connection    one client for a process; what the server's errors mean
preparation   namespace and search attributes, registered at the first contact
causes        correlation id and trace of what a workflow works for
tracing       traces through the server and back, in the header that all SDKs share
spans         the SDK's OpenTelemetry interceptor, within this service's traces
log_lines     the correlation id in the SDK's own lines about a workflow
calls         timeouts and retries of each activity, in one table
driver        interprets a machine inside a workflow
workflows     the workflows, by the names of the wire contract
wakes         when workflows go on, for whoever looks at an order
hosting       the activities as the server calls them
worker        runs both on the task queues

The engine that relays use is ``engines/temporal.py``. Only this package and that module import the SDK.
"""
