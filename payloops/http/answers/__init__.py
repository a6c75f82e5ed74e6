"""What replies hold, one module a noun: for the API's description alone. Handlers write their JSON by themselves.

The tests hold every reply of the service against these classes, so that they say what is really sent.
"""
