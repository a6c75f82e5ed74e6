"""Outbound webhooks: from a public event to what its receivers answered.

outbox               what a delivery's events cause: its workflow's start, and word to it
publisher            one public event becomes a delivery for each endpoint that wants it
deliverer            the activity: is it wanted, is it its turn, send, record
verdicts             what an answer means, and when to come again; pure
receivers            endpoints as the read table has them, with their secrets and how they fare
health               the circuit of an endpoint that fails
bounds               how much this process sends at once
requests             the headers of a request
sender, resolver     one request to an address that was checked, bounded in every direction
outside              what workflows and workers of others want sent
contract_activities  what external workers call
parts                all of it wired together
"""
