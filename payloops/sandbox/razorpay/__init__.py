"""The Razorpay API at ``/v1/*``: orders, payments and refunds, as razorpay.com/docs/api describes them."""
