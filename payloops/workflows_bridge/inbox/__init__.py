"""The inbox: what processors told us, read and given its effect on orders.

facts       what an event can say, in our words
stripe      from Stripe's events to facts, pure
razorpay    from Razorpay's events to facts, pure
reports     from facts to commands of the order they are about, pure
outbox      the intent to process an event, written with it
processing  the relay's task: read, find the order, have the effect, say what became of it
"""
