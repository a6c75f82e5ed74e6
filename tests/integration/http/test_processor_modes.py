"""A processor's keys say whether they move real money: at a real processor they can't be saved for the other mode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from payloops.config import RAZORPAY_API, STRIPE_API
from tests.databases import TestDatabase
from tests.integration.http.world import Answer, Api, Merchant, open_api

KEYS: dict[str, dict[str, tuple[str, ...]]] = {
    "stripe": {"test": ("sk_test_1", "rk_test_1"), "live": ("sk_live_1", "rk_live_1")},
    "razorpay": {"test": ("rzp_test_1",), "live": ("rzp_live_1",)},
}
CASES = [(processor, mode, key) for processor, modes in KEYS.items() for mode, keys in modes.items() for key in keys]


@pytest.fixture
async def real(test_database: TestDatabase) -> AsyncIterator[Api]:
    """An API whose processors are the real ones. It asks them nothing: no webhook can be registered for it."""
    settings = {"STRIPE_API_BASE": STRIPE_API, "RAZORPAY_API_BASE": RAZORPAY_API}
    async with open_api(test_database, **settings) as api:
        yield api


async def save(api: Api, merchant: Merchant, processor: str, key: str, **flags: Any) -> Answer:
    # With a webhook secret by hand there is nothing to register.
    stripe, razorpay = {"secretKey": key}, {"keyId": key, "keySecret": "secret"}
    credentials = {"webhookSecret": "whsec_by_hand", **(stripe if processor == "stripe" else razorpay)}
    path = f"/api/processors/{processor}"
    return await api.call("POST", path, {"credentials": credentials, **flags}, token=merchant.token)


@pytest.mark.parametrize(("processor", "mode", "key"), CASES)
async def test_a_key_is_saved_for_its_own_mode_only(real: Api, processor: str, mode: str, key: str) -> None:
    merchant, is_test = await real.merchant(), mode == "test"
    refused = await save(real, merchant, processor, key, testMode=not is_test)
    problem = refused.must(400)
    assert (problem["code"], problem["details"][0]["param"]) == ("validation_error", "testMode")
    assert ("live key" if mode == "live" else "test key") in problem["message"]
    assert key not in refused.raw.decode()
    assert (await real.call("GET", "/api/processors", token=merchant.token)).must(200) == []
    saved = (await save(real, merchant, processor, key, testMode=is_test)).must(200)
    assert saved["testMode"] is is_test


async def test_without_a_word_on_the_mode_a_live_key_is_refused(real: Api) -> None:
    assert (await save(real, await real.merchant(), "stripe", "sk_live_1")).code == "validation_error"


async def test_the_mode_of_what_is_saved_can_not_be_turned_to_the_other(real: Api) -> None:
    merchant = await real.merchant()
    (await save(real, merchant, "stripe", "sk_live_1", testMode=False)).must(200)
    turned = await real.call("PATCH", "/api/processors/stripe", {"testMode": True}, token=merchant.token)
    assert turned.must(400)["details"][0]["param"] == "testMode"
    kept = await real.call("PATCH", "/api/processors/stripe", {"testMode": False, "priority": 3}, token=merchant.token)
    assert (kept.must(200)["testMode"], kept.json["priority"]) == (False, 3)
    absent = await real.call("PATCH", "/api/processors/razorpay", {"testMode": True}, token=merchant.token)
    assert absent.code == "not_found"


async def test_a_key_that_does_not_say_its_mode_is_taken_at_the_merchants_word(real: Api) -> None:
    for test_mode in (True, False):
        merchant = await real.merchant()
        assert (await save(real, merchant, "stripe", "an-account", testMode=test_mode)).status == 200


async def test_at_the_simulator_any_key_serves_any_mode(api: Api, merchant: Merchant) -> None:
    for key, test_mode in (("sk_live_1", True), ("sk_test_1", False)):
        saved = (await save(api, merchant, "stripe", key, testMode=test_mode)).must(200)
        assert saved["testMode"] is test_mode
