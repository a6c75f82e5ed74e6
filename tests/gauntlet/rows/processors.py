"""C7: the processor's answer is lost, or comes after we gave up waiting."""

from __future__ import annotations

from typing import Final

from tests.gauntlet.checker import check
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import prepared
from tests.gauntlet.shop import Shop, opened
from tests.gauntlet.waiting import until_order

LOST: Final = ("timeout_after", "reset_after", "timeout_before", "reset_before", "http_500")


async def c7(run: Run) -> None:
    """Each way to lose an answer, at each call that moves money; then success after the customer's time was over."""
    with prepared(PROCESSOR_TIMEOUT_S="0.5", PAY_WAIT_S="0") as service:
        service.part("sandbox").start()
        service.part("api").start()
        service.part("relay", wrap=("schedule:quick",)).start()
        service.wait_for_ports()
        async with opened(service) as shop:
            for _ in range(run.times):
                for mode in LOST:
                    await _lost_charge(shop, mode, run)
                    await _lost_capture(shop, mode, run)
                    await _lost_refund(shop, mode, run)
                    run.say(f"{mode}: {await check(shop)}")
                await _late_success(shop, run)
                run.say(f"late success: {await check(shop)}")


async def _lost_charge(shop: Shop, mode: str, run: Run) -> None:
    times = run.rng.randint(1, 2)
    await shop.fault("payment.create", mode, times)
    order = await shop.order(run.rng)
    await shop.pay(order["id"], rng=run.rng)
    doubted = await until_order(shop, order["id"], lambda seen: seen["outcomeUnknown"] or seen["status"] == "captured")
    if doubted["status"] == "failed":
        raise AssertionError(f"{mode}: a lost answer was taken for a failure: {doubted}")
    await until_order(shop, order["id"], lambda seen: seen["status"] == "captured")


async def _lost_capture(shop: Shop, mode: str, run: Run) -> None:
    order = await shop.order(run.rng, captureMethod="manual")
    await shop.pay(order["id"], rng=run.rng)
    await until_order(shop, order["id"], lambda seen: seen["status"] == "authorized")
    await shop.fault("payment.capture", mode)
    await shop.write(order["id"], "capture", {"amount": run.rng.randint(1, order["amount"])}, rng=run.rng)
    await until_order(shop, order["id"], lambda seen: seen["status"] == "captured")


async def _lost_refund(shop: Shop, mode: str, run: Run) -> None:
    paid = await shop.order(run.rng)
    await shop.pay(paid["id"], rng=run.rng)
    await until_order(shop, paid["id"], lambda seen: seen["status"] == "captured")
    await shop.fault("refund.create", mode)
    await shop.write(paid["id"], "refund", {"amount": run.rng.randint(1, paid["amount"])}, rng=run.rng)
    await until_order(shop, paid["id"], lambda seen: seen["amountRefunded"] > 0 and not seen["outcomeUnknown"])


async def _late_success(shop: Shop, run: Run) -> None:
    """The customer pays while nobody can see it: every ask is lost until the time is over."""
    order = await shop.order(run.rng)
    await shop.pay(order["id"], "pm_card_threeDSecure2Required", rng=run.rng)
    await until_order(shop, order["id"], lambda seen: seen["status"] == "requires_action")
    await shop.fault("payment.get", "reset_before", 6)
    await shop.fault("payment.cancel", "reset_before", 2)
    (payment,) = [each for each in (await shop.ledger())["payments"] if each["metadata"].get("order_id") == order["id"]]
    await shop.act(payment["id"], "authenticate", {"result": "succeed"})
    await until_order(shop, order["id"], lambda seen: seen["status"] == "captured")


ROWS: Final = (Row("C7", "lost answers of the processor, late success", "own", smoke=1, full=5, own=c7),)
