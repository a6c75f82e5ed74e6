"""Outbound webhooks, from the public event to receivers that behave well, badly, or not at all."""
