"""The scripts that a checkout page loads, at the paths that the real ones have."""

from __future__ import annotations

from tests.sandbox.world import World


async def test_each_processor_has_its_script_where_a_page_looks_for_it(world: World) -> None:
    for url, name in (
        (f"{world.sandbox.stripe_url}/v3/", "window.Stripe"),
        (f"{world.sandbox.razorpay_url}/v1/checkout.js", "window.Razorpay"),
    ):
        answer = await world.request("GET", url)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert name in answer.body
