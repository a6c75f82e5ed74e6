"""What the processors' words for where a dispute stands mean, whether an event or a list says them. Pure.

Stripe: https://docs.stripe.com/api/disputes/object, Razorpay: https://razorpay.com/docs/api/disputes/entity/.
"""

from __future__ import annotations

from typing import Final

from payloops.events.order_states import DisputeStatus

_OF_STRIPE: Final[dict[str, DisputeStatus]] = {
    "won": "won",
    "lost": "lost",
    # An inquiry that never became a dispute, or one that was settled before: no money is taken back.
    "warning_closed": "won",
    "prevented": "won",
}


def of_stripe(status: str) -> DisputeStatus:
    """Everything but an end is an open dispute."""
    return _OF_STRIPE.get(status, "opened")


def of_razorpay(status: str, amount_deducted: object) -> DisputeStatus:
    """One that was closed without a verdict is won, unless money was deducted for it."""
    match status:
        case "won":
            return "won"
        case "lost":
            return "lost"
        case "closed":
            return "lost" if amount_deducted else "won"
        case _:
            return "opened"
