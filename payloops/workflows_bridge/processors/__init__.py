"""The payment processors: one port, an adapter for each.

base       the port: requests, outcomes, the ``Processor`` protocol
transport  one bounded HTTP request, and what a missing answer means
amounts    where a processor does not count in minor units by ISO 4217
stripe     the adapter for Stripe, with stripe_sdk, stripe_requests and stripe_replies
razorpay   the adapter for Razorpay, with razorpay_replies
registry   from a name and credentials to an adapter
"""
