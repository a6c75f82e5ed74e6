"""The processors' scripts for browsers, as far as a checkout page calls them: Stripe.js and Razorpay's checkout.

No card's number is ever sent, for there is none: the form offers Stripe's documented test payment methods.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

_PLACES: Final = {"stripe": "/v3/", "razorpay": "/v1/checkout.js"}
"""Where the real ones are, below another host name."""
FRAME_SCRIPT: Final = "/v1/checkout-frame.js"
"""Of Razorpay's frame."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}


def add_script(app: web.Application, processor: str) -> None:
    """Serve a processor's script where a page looks for it."""
    app.router.add_get(_PLACES[processor], _serving(f"{processor}.js"))
    if processor == "razorpay":
        app.router.add_get(FRAME_SCRIPT, _serving("razorpay-frame.js"))


def _serving(name: str) -> Handler:
    body = resources.files("payloops.sandbox").joinpath("scripts", name).read_bytes()

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="text/javascript", charset="utf-8", headers=_HEADERS)

    return serve
