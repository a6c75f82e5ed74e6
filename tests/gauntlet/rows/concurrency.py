"""C1–C4: many at once on one thing, and amounts at the edges."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final

from tests.gauntlet.checker import check
from tests.gauntlet.client import Answer
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import Service
from tests.gauntlet.shop import Shop, opened

AT_ONCE: Final = 50
SAME_KEY: Final = 20
AMOUNT_MAX: Final = 2**53 - 1

REFUSED_AMOUNTS: Final[tuple[Any, ...]] = (
    0,
    -1,
    2**53,
    2**63,
    2**64,
    10**30,
    1.5,
    1.0,
    1e300,
    "1",
    True,
    False,
    None,
    [],
    {},
)
TAKEN_AMOUNTS: Final = (1, 2**31 - 1, 2**31, 2**31 + 1, 2**53 - 1)
CURRENCIES: Final = (("JPY", 1234), ("KWD", 1230), ("ISK", 1200), ("jpy", 50), ("usd", 50))

_NO_CURRENCIES: Final[tuple[Any, ...]] = ("XXX", "US", "USDX", "ÚSD", "", 840, "uſd")


def _statuses(answers: list[Answer]) -> Counter[tuple[int, str | None]]:
    return Counter((answer.status, answer.code) for answer in answers)


def _require(holds: object, what: str) -> None:
    if not holds:
        raise AssertionError(what)


async def c1(run: Run, service: Service) -> None:
    """50 pays at once on one order: one payment."""
    async with opened(service) as shop:
        for _ in range(run.times):
            before = (await shop.ledger())["calls"].get("payment.create", 0)
            order = await shop.order(run.rng)
            path = f"/v1/orders/{order['id']}/pay"
            answers = await asyncio.gather(*(shop.api.once("POST", path, {}) for _ in range(AT_ONCE)))
            seen = _statuses(answers)
            others = seen[400, "invalid_status"] + seen[409, "version_conflict"]
            _require(seen[200, None] == 1 and others == AT_ONCE - 1, f"answers: {seen}")
            paid = await shop.settled(order["id"])
            _require(paid["status"] == "captured", f"the order is {paid}")
            ledger = await shop.ledger()
            mine = [each for each in ledger["payments"] if each["metadata"].get("order_id") == order["id"]]
            _require(len(mine) == 1, f"payments of the order: {mine}")
            calls = ledger["calls"]["payment.create"] - before
            _require(calls == 1, f"the processor was asked {calls} times")
        run.say(f"{run.times} × {AT_ONCE} pays: one payment each; {await check(shop)}")


async def c2(run: Run, service: Service) -> None:
    """50 refunds at once on one order: never more than was captured."""
    async with opened(service) as shop:
        for _ in range(run.times):
            paid = await shop.paid_order(run.rng, amount=run.rng.randint(1000, 20_000))
            part = paid["amount"] // run.rng.randint(3, 12)
            path = f"/v1/orders/{paid['id']}/refund"
            answers = await asyncio.gather(
                *(shop.api.once("POST", path, {"amount": part}, key=f"r-{number}") for number in range(AT_ONCE))
            )
            seen = _statuses(answers)
            fit = min(AT_ONCE, paid["amount"] // part)
            refused = seen[400, "refund_exceeds_captured"] + seen[400, "invalid_status"]
            late = seen[409, "version_conflict"]
            _require(seen[201, None] + refused + late == AT_ONCE, f"answers: {seen}")
            _require(seen[201, None] == fit or late, f"{fit} refunds fit, {seen}")
            _require(seen[201, None] <= fit, f"more refunds than fit: {seen}")
        run.say(f"{run.times} × {AT_ONCE} refunds; {await check(shop)}")


async def c3(run: Run, service: Service) -> None:
    """One idempotency key, used in every way."""
    async with opened(service) as shop, opened(service) as other:
        for number in range(run.times):
            await _key_on_a_creation(shop, other, f"c3-{number}", run)
            await _key_on_money(shop, f"c3-money-{number}", run)
        run.say(str(await check(shop, other, other_orders=True)))


async def _key_on_a_creation(shop: Shop, other: Shop, key: str, run: Run) -> None:
    body: dict[str, Any] = {"amount": run.rng.randint(1, 9999), "metadata": {"a": 1, "b": [1, 2]}}
    answers = await _at_once(shop, "/v1/orders", body, key)
    first = next(answer for answer in answers if answer.status == 201)
    respelt = b'{ "metadata":{"b":[1,2],"a":1}, "amount":%d }' % body["amount"]
    again = await shop.api.once("POST", "/v1/orders", raw=respelt, key=key)
    _require((again.status, again.raw) == (201, first.raw), f"replayed otherwise: {again}")
    _require(again.headers.get("Idempotent-Replayed") == "true", "a replay that does not say so")
    mismatch = await shop.api.once("POST", "/v1/orders", {**body, "amount": body["amount"] + 1}, key=key)
    _require((mismatch.status, mismatch.code) == (422, "idempotency_mismatch"), f"mismatch: {mismatch}")
    theirs = await other.api.once("POST", "/v1/orders", body, key=key)
    _require(theirs.status == 201 and theirs.body["id"] != first.body["id"], f"another merchant: {theirs}")
    _require("Idempotent-Replayed" not in theirs.headers, "another merchant got a replay")


async def _key_on_money(shop: Shop, key: str, run: Run) -> None:
    order = await shop.order(run.rng)
    path = f"/v1/orders/{order['id']}/pay"
    await _at_once(shop, path, {}, key)
    await shop.settled(order["id"])
    path = f"/v1/orders/{order['id']}/refund"
    await _at_once(shop, path, {"amount": 1}, key)
    refunds = (await shop.api.ask("GET", f"{path}s")).body
    _require(len(refunds) == 1, f"one key made {len(refunds)} refunds")


async def _at_once(shop: Shop, path: str, body: dict[str, Any], key: str) -> list[Answer]:
    """The same request many times at once: one answer, to the byte, and the rest are told that it still runs."""
    answers = list(await asyncio.gather(*(shop.api.once("POST", path, body, key=key) for _ in range(SAME_KEY))))
    good = [answer for answer in answers if answer.status < 300]
    running = _statuses(answers)[409, "idempotency_in_flight"]
    _require(good and len(good) + running == SAME_KEY, f"{path}: {_statuses(answers)}")
    final = await shop.api.ask("POST", path, body, key=key)
    _require({answer.raw for answer in good} == {final.raw}, f"{path}: one key, several answers")
    return answers


async def c4(run: Run, service: Service) -> None:
    """Amounts: a bigint or 400."""
    async with opened(service) as shop:
        for amount in REFUSED_AMOUNTS:
            answer = await shop.api.once("POST", "/v1/orders", {"amount": amount} if _fits(amount) else None,
                                         raw=None if _fits(amount) else b'{"amount":%d}' % amount)  # fmt: skip
            _require(answer.status == 400, f"amount {amount!r} was answered {answer.status}")
        for amount in TAKEN_AMOUNTS:
            answer = await shop.api.once("POST", "/v1/orders", {"amount": amount})
            _require((answer.status, answer.body["amount"]) == (201, amount), f"amount {amount}: {answer}")
            again = await shop.get(answer.body["id"])
            _require(again["amount"] == amount, f"amount {amount} is read as {again['amount']}")
        for currency, amount in CURRENCIES:
            paid = await shop.paid_order(run.rng, amount=amount, currency=currency)
            _require(paid["currency"] == currency.upper(), f"currency: {paid}")
            _require(paid["amountCaptured"] == amount, f"captured: {paid}")
        for code in _NO_CURRENCIES:
            answer = await shop.api.once("POST", "/v1/orders", {"amount": 1, "currency": code})
            _require(answer.status == 400, f"currency {code!r} was answered {answer.status}")
        run.say(str(await check(shop, other_orders=True)))


def _fits(amount: Any) -> bool:
    """Whether our own JSON writer can say it."""
    return not isinstance(amount, int) or abs(amount) < 2**63


ROWS: Final = (
    Row("C1", "50 concurrent pays on one order", "shared", smoke=1, full=20, shared=c1),
    Row("C2", "50 concurrent refunds on one order", "shared", smoke=1, full=20, shared=c2),
    Row("C3", "one idempotency key in every way", "shared", smoke=1, full=20, shared=c3),
    Row("C4", "amounts at the edges", "shared", smoke=1, full=1, shared=c4),
)
