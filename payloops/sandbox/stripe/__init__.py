"""The Stripe API at ``/v1/*``: PaymentIntents and what belongs to them, as docs.stripe.com/api describes them."""
