"""A stateful simulator of the Stripe and Razorpay HTTP APIs, for development and tests only.

Real HTTP servers with the processors' paths, bodies, ids, errors and webhook signatures: an adapter sees no difference
but the base URL. :func:`payloops.sandbox.app.build_sandbox` is the way in.
"""
