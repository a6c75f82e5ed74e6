"""W1–W5, C5, C6: what comes in a processor's name: forged, repeated, out of order, of another merchant or amount."""

from __future__ import annotations

import asyncio
import copy
import random
from collections import Counter
from itertools import permutations
from typing import Any, Final
from uuid import uuid4

import orjson
import psycopg

from tests.gauntlet.checker import check
from tests.gauntlet.client import Answer
from tests.gauntlet.processor import Json, Processor, inbox_rows
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import Service
from tests.gauntlet.shop import Shop, opened
from tests.gauntlet.waiting import until_order
from tests.inbox import bodies as b

AT_ONCE: Final = 25
COPIES_MAX: Final = 3
SAME: Final = {"X-Correlation-ID": "the-same"}
FIVE: Final = (
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "charge.refunded",
    "refund.created",
    "charge.dispute.created",
)
JUNK: Final[tuple[Any, ...]] = (None, True, -1, 2**63, 1.5, "", "x" * 300, [], {}, [[{}]], {"id": {"id": []}}, "\u0416")
LABELS: Final = ("order_id", "merchant_id", "attempt")


def _require(holds: object, what: str) -> None:
    if not holds:
        raise AssertionError(what)


# ------------------------------------------------------------------------------------------------------- W1: signatures


def _damaged(header: str, rng: random.Random) -> str:
    """The header with one thing wrong with it."""
    place = rng.randrange(len(header))
    digit = header[place]
    other = rng.choice([each for each in "0123456789abcdef" if each != digit])
    changed = (
        header[:place] + other + header[place + 1 :],
        header[:place],
        header[:place] + "\u00e9" + header[place + 1 :],
        header.replace("v1", "v0") if "v1" in header else header[::-1] + "x",
        rng.randbytes(32).hex(),
        "",
    )
    return rng.choice(changed)


async def w1(run: Run, service: Service) -> None:
    """Forgeries of every kind, for a merchant with secrets and one without: refused, and nothing appended."""
    async with opened(service) as shop, opened(service) as bare:
        order = await shop.order(run.rng)
        stripe, razorpay = await Processor.stripe(shop), await Processor.razorpay(shop)
        event = b.stripe_event("payment_intent.succeeded", b.intent(order["id"], shop.merchant_id, order["amount"]))
        paid = b.razorpay_event("payment.captured", payment=b.razorpay_payment(order["id"], shop.merchant_id))
        before, kinds = inbox_rows(shop), Counter[tuple[int, str | None]]()
        for _ in range(0, run.times, AT_ONCE):
            tries = [_forgery(run.rng.choice((stripe, razorpay)), bare, (event, paid), run.rng) for _ in range(AT_ONCE)]
            kinds.update([(answer.status, answer.code) for answer in await asyncio.gather(*tries)])
        allowed = {(400, "missing_signature"), (400, "invalid_signature")}
        _require(set(kinds) <= allowed, f"forgeries were answered {kinds}")
        _require(inbox_rows(shop) == before, f"forgeries were stored: {inbox_rows(shop) - before}")
        # The very same event, well signed: it is not the event that was wrong.
        _require((await stripe.send(event)).status == 200, "a good signature was refused")
        await stripe.verdicts({event["id"]})
        run.say(f"{sum(kinds.values())} forgeries: {dict(kinds)}")


async def _forgery(processor: Processor, bare: Shop, events: tuple[Json, Json], rng: random.Random) -> Answer:
    """One event with one thing wrong about its signature."""
    body = orjson.dumps(events[0] if processor.name == "stripe" else events[1])
    headers = processor.signed(body)
    (name,) = [name for name in headers if name.endswith("Signature")]
    path: str | None = None
    match rng.randrange(6):
        case 0:
            del headers[name]
        case 1:
            body = body.replace(b"1", b"2", 1) if rng.random() < 0.5 else body + b" "
        case 2:
            # Its signature is as good as can be, of a merchant that has no secret here.
            path = f"/webhooks/{processor.name}/{bare.merchant_id}"
        case 3:
            path = f"/webhooks/{processor.name}/{uuid4()}"
        case 4 if processor.name == "stripe":
            headers = processor.signed(body, at_s=rng.choice((1, 1_600_000_000, 4_000_000_000)))
        case _:
            headers[name] = _damaged(headers[name], rng)
    return await processor.deliver(body, headers, path=path)


# ---------------------------------------------------------------------------------------------- W2, C6: whose, how much


async def w2(run: Run, service: Service) -> None:
    """A merchant's own good signature on an order of another's: nothing happens to that order."""
    async with opened(service) as owner, opened(service) as other:
        # With a secret of its own, so that the simulator tells it nothing by itself.
        await Processor.stripe(owner)
        theirs = await Processor.stripe(other)
        for _ in range(run.times):
            order = await _waiting_order(owner, run)
            payment = await _payment_of(owner, order["id"])
            named = run.rng.choice((owner.merchant_id, other.merchant_id))
            claims = b.intent(order["id"], named, order["amount"], id=run.rng.choice((payment["id"], "pi_of_mine")))
            events = [
                b.stripe_event("payment_intent.succeeded", claims),
                b.stripe_event("payment_intent.canceled", claims),
                b.stripe_event("charge.refunded", b.charge(order["amount"], refunded=1, payment_intent=payment["id"])),
            ]
            for event in events:
                _require((await theirs.send(event)).status == 200, "a merchant's own signature was refused")
                # On the path that trusts the body, it is the named merchant's secret that must have signed.
                await theirs.send({**event, "id": f"evt_{uuid4().hex}"}, path="/webhooks/stripe")
            verdicts = await theirs.verdicts({event["id"] for event in events})
            _require("processed" not in verdicts.values(), f"another's order was moved: {verdicts}")
            seen = await owner.get(order["id"])
            _require(seen == order, f"another merchant's event changed an order: {order} -> {seen}")
            owners = (await owner.dashboard.ask("GET", "/api/processor-events")).body["data"]
            _require(owners == [], f"they are in its inbox: {owners}")
            await owner.write(order["id"], "cancel", rng=run.rng)
            await until_order(owner, order["id"], lambda seen: seen["status"] == "cancelled")
        run.say(f"{run.times} orders: {await check(owner)}; {await check(other)}")


async def c6(run: Run, service: Service) -> None:
    """Another amount or currency than the order's: quarantined and seen, nothing captured; then the true one."""
    async with opened(service) as shop:
        stripe = await Processor.stripe(shop)
        for _ in range(run.times):
            order = await _waiting_order(shop, run)
            payment = await _payment_of(shop, order["id"])
            wrong = [
                _paid(order, payment, shop, amount=order["amount"] + run.rng.choice((-1, 1, order["amount"]))),
                _paid(order, payment, shop, amount=1),
                _paid(order, payment, shop, currency=run.rng.choice(("eur", "jpy", "kwd"))),
            ]
            answers = await asyncio.gather(*(stripe.send(event) for event in wrong for _ in range(2)))
            _require({answer.status for answer in answers} == {200}, "a signed event was refused")
            verdicts = await stripe.verdicts({event["id"] for event in wrong})
            _require(set(verdicts.values()) == {"quarantined"}, f"wrong amounts came to {verdicts}")
            seen = await shop.get(order["id"])
            _require(seen == order, f"a wrong amount changed an order: {order} -> {seen}")
            listed = (await shop.dashboard.ask("GET", "/api/processor-events?status=quarantined&limit=100")).body[
                "data"
            ]
            _require({one["id"] for one in wrong} <= {one["processorEventId"] for one in listed}, "they are not seen")
            await shop.act(payment["id"], "authenticate", {"result": "succeed"})
            true = [each for each in await stripe.events_of(payment["id"]) if each["type"] == FIVE[1]]
            await stripe.send(true[0])
            await until_order(shop, order["id"], lambda seen: seen["status"] == "captured")
        run.say(f"{run.times} orders: {await check(shop)}")


def _paid(order: Json, payment: Json, shop: Shop, **wrong: Any) -> Json:
    amount = wrong.pop("amount", order["amount"])
    claims = b.intent(order["id"], shop.merchant_id, amount, id=payment["id"], **wrong)
    return b.stripe_event("payment_intent.succeeded", claims)


async def _waiting_order(shop: Shop, run: Run) -> Json:
    """An order that waits for its customer."""
    order = await shop.order(run.rng)
    await shop.pay(order["id"], "pm_card_threeDSecure2Required", rng=run.rng)
    return await until_order(shop, order["id"], lambda seen: seen["status"] == "requires_action")


async def _payment_of(shop: Shop, order_id: str) -> Json:
    (payment,) = [each for each in (await shop.ledger())["payments"] if each["metadata"].get("order_id") == order_id]
    found: Json = payment
    return found


# ----------------------------------------------------------------------------------------------- W3, W4: repeats, order


async def w3(run: Run, service: Service) -> None:
    """The five events of one payment in orders by chance, each up to three times: one final state."""
    orders = list(permutations(range(len(FIVE))))
    run.rng.shuffle(orders)
    chosen = [orders[number % len(orders)] for number in range(run.times)]
    async with opened(service) as shop:
        stripe = await Processor.stripe(shop)
        ends = []
        for first in range(0, len(chosen), AT_ONCE):
            lives = [_told(shop, stripe, run, order) for order in chosen[first : first + AT_ONCE]]
            ends += await asyncio.gather(*lives)
        _require(len(set(ends)) == 1, f"the end depends on the order of events: {Counter(ends)}")
        _require(ends[0] == ("partially_refunded", True, (("success", True),), "opened"), f"it ended as {ends[0]}")
        run.say(f"{run.times} of {len(orders)} orders of five events: {await check(shop)}")


async def _told(shop: Shop, stripe: Processor, run: Run, places: tuple[int, ...]) -> tuple[Any, ...]:
    """A payment whose events all come after everything happened, in that order."""
    rng = random.Random(run.rng.getrandbits(64))
    order = await _waiting_order(shop, run)
    payment = await _payment_of(shop, order["id"])
    await shop.act(payment["id"], "authenticate", {"result": "succeed"})
    refunded = rng.randint(1, order["amount"] - 1)
    await shop.act(payment["id"], "refund", {"amount": refunded})
    await shop.act(payment["id"], "dispute")
    by_type = {event["type"]: event for event in await stripe.events_of(payment["id"])}
    for place in places:
        copies = [stripe.send(by_type[FIVE[place]]) for _ in range(rng.randint(1, COPIES_MAX))]
        statuses = {answer.status for answer in await asyncio.gather(*copies)}
        _require(statuses == {200}, f"an event was answered {statuses}")
    verdicts = await stripe.verdicts({by_type[name]["id"] for name in FIVE})
    _require(set(verdicts.values()) == {"processed"}, f"{places}: {verdicts}")
    seen = await shop.get(order["id"])
    refunds = (await shop.api.ask("GET", f"/v1/orders/{order['id']}/refunds")).body
    told = tuple((one["status"], one["amount"] == refunded) for one in refunds)
    return seen["status"], seen["amountCaptured"] == order["amount"], told, _dispute(shop, order["id"])


def _dispute(shop: Shop, order_id: str) -> str | None:
    with psycopg.connect(shop.service.app_dsn, autocommit=True) as connection:
        row = connection.execute("SELECT dispute_status FROM orders WHERE id = %s", (order_id,)).fetchone()
    return None if row is None else row[0]


async def w4(run: Run, service: Service) -> None:
    """One Razorpay body under one event id after the other, without an id, and at the same moment: one event."""
    async with opened(service) as shop:
        razorpay = await Processor.razorpay(shop)
        shop.other_accounts.append(razorpay.account)
        answers: list[Answer] = []
        for _ in range(run.times):
            order = await shop.order(run.rng, currency="INR")
            asked = await shop.write(order["id"], "pay", {"processor": "razorpay"}, rng=run.rng)
            _require(asked.status == 200, f"pay was answered {asked.raw!r}")
            waiting = await until_order(shop, order["id"], lambda seen: seen["status"] == "requires_action")
            await shop.act(waiting["processorOrderId"], "pay")
            payment = await _payment_of(shop, order["id"])
            entity = b.razorpay_payment(order["id"], shop.merchant_id, order["amount"], id=payment["id"])
            entity["order_id"] = waiting["processorOrderId"]
            event = b.razorpay_event("payment.captured", payment=entity)
            before = len(await razorpay.inbox())
            ids = [None if run.rng.random() < 0.2 else f"evt_{run.rng.getrandbits(64):x}" for _ in range(8)]
            answers = await asyncio.gather(*(razorpay.send(event, event_id=each) for each in ids))
            answers += [await razorpay.send(event, event_id=each) for each in (*ids[:2], "another")]
            _require({answer.status for answer in answers} == {200}, "a repeat was refused")
            _require(len(await razorpay.inbox()) == before + 1, "one body was taken in twice")
            await until_order(shop, order["id"], lambda seen: seen["status"] == "captured")
        run.say(f"{run.times} payments, {len(answers)} copies each: {await check(shop)}")


# ----------------------------------------------------------------------------------------------------------- W5: poison


async def w5(run: Run, service: Service) -> None:
    """Unknown merchants and types, and signed nonsense: no 5xx, nothing parked, nothing told to strangers."""
    async with opened(service) as shop, opened(service) as bare:
        stripe, razorpay = await Processor.stripe(shop), await Processor.razorpay(shop)
        await _no_oracle(stripe, bare)
        before = {one["id"] for one in await stripe.inbox()}
        statuses = Counter[int]()
        for _ in range(0, run.times, AT_ONCE):
            sent = [_poison(run.rng.choice((stripe, razorpay)), shop, run.rng) for _ in range(AT_ONCE)]
            statuses.update([answer.status for answer in await asyncio.gather(*sent)])
        _require(set(statuses) <= {200, 400}, f"nonsense was answered {statuses}")
        told = [one for one in await stripe.inbox() if one["id"] not in before]
        _require(bool(told), "no nonsense was well formed enough to be taken in")
        verdict = await check(shop, bare)
        judged = Counter(one["status"] for one in await stripe.inbox())
        _require("received" not in judged, f"some have no verdict: {judged}")
        run.say(f"{sum(statuses.values())} events {dict(statuses)}, {dict(judged)}: {verdict}")


async def _no_oracle(stripe: Processor, bare: Shop) -> None:
    """A stranger learns nothing: neither who is a merchant here, nor who has a secret."""
    body = orjson.dumps(b.stripe_event("payment_intent.succeeded", b.intent(uuid4(), bare.merchant_id)))
    headers = {"Stripe-Signature": f"t=1,v1={'0' * 64}", **SAME}
    paths = (stripe.path, f"/webhooks/stripe/{bare.merchant_id}", f"/webhooks/stripe/{uuid4()}", "/webhooks/stripe/x",
             "/webhooks/stripe")  # fmt: skip
    answers = [await stripe.deliver(body, headers, path=path) for path in paths]
    bodies = {(answer.status, answer.raw) for answer in answers}
    _require(len(bodies) == 1, f"strangers can tell them apart: {bodies}")
    missing = {(await stripe.deliver(body, SAME, path=path)).raw for path in paths}
    _require(len(missing) == 1, f"strangers can tell them apart: {missing}")


async def _poison(processor: Processor, shop: Shop, rng: random.Random) -> Answer:
    """An event with something in it that no processor sends, well signed."""
    if rng.random() < 0.2:
        made = b'{"id":"%016x","type":"payment_intent.succeeded","data":' % rng.getrandbits(64)
        body = made + rng.choice(
            (b"NaN}", b"{}", b'{"a":1,"a":2}}', b"[" * 60 + b"]" * 60 + b"}", b'"\xff"}', b'"\\ud800"}')
        )
        return await processor.deliver(body, processor.signed(body))
    event: Json
    if processor.name == "stripe":
        thing = rng.choice((
            b.intent(uuid4(), shop.merchant_id), b.charge(refunded=5), b.refund(5), b.dispute(), {},
        ))  # fmt: skip
        known = (*FIVE, "refund.failed", "charge.dispute.closed", "payment_intent.amount_capturable_updated")
        event = b.stripe_event(rng.choice((*known, "customer.created", "x.y")), thing)
    else:
        entities = {"payment": b.razorpay_payment(uuid4(), shop.merchant_id), "refund": b.razorpay_refund(5),
                    "dispute": b.razorpay_dispute(), "order": b.razorpay_order(uuid4(), shop.merchant_id)}  # fmt: skip
        kinds = ("payment.captured", "payment.failed", "refund.processed", "order.paid", "payment.dispute.won", "x.y")
        event = b.razorpay_event(rng.choice(kinds), **entities)
    for _ in range(rng.randint(1, 3)):
        _spoil(event, rng)
    named = {} if processor.name == "stripe" else {"event_id": f"evt_{rng.getrandbits(64):x}"}
    return await processor.send(event, **named)


def _spoil(document: Json, rng: random.Random) -> None:
    """Something somewhere in it is something else, or not there."""
    while True:
        name = rng.choice(list(document))
        inner = document[name]
        if isinstance(inner, dict) and inner and rng.random() < 0.85:
            document = inner
            continue
        if rng.random() < 0.3 and len(document) > 1:
            del document[name]
        else:
            # A copy: what is spoiled next may be what was put in here.
            document[name] = copy.deepcopy(rng.choice(JUNK))
        return


# ---------------------------------------------------------------------------------------------------------- C5: refunds


async def c5(run: Run, service: Service) -> None:
    """Partial refunds from both sides at once, told by totals and one by one, twice and shuffled: each booked once."""
    async with opened(service) as shop:
        stripe = await Processor.stripe(shop)
        await stripe.listen(duplicate=1.5, shuffle=True, drop=0.1)
        for _ in range(run.times):
            paid = await shop.paid_order(run.rng, amount=run.rng.randint(2_000, 50_000))
            payment = await _payment_of(shop, paid["id"])
            left, sides = paid["amount"], []
            for _ in range(run.rng.randint(3, 8)):
                amount = run.rng.randint(1, max(1, left // 3))
                left -= amount
                if run.rng.random() < 0.5:
                    sides.append(_refunded_there(shop, payment["id"], amount))
                else:
                    sides.append(_refunded_here(shop, paid["id"], amount, run))
            await asyncio.gather(*sides)
            # What was lost on the way is told by the next total.
            await _refunded_there(shop, payment["id"], left)
            lost = [
                one for one in await stripe.events_of(payment["id"]) if one["type"].startswith(("refund", "charge.re"))
            ]
            run.rng.shuffle(lost)
            for event in lost:
                await stripe.send(event)
            await stripe.verdicts({event["id"] for event in lost})
            await until_order(shop, paid["id"], lambda seen: seen["status"] == "refunded")
            run.say(f"{len(sides) + 1} refunds: {await check(shop)}")


async def _refunded_there(shop: Shop, payment_id: str, amount: int) -> None:
    await shop.act(payment_id, "refund", {"amount": amount})


async def _refunded_here(shop: Shop, order_id: str, amount: int, run: Run) -> None:
    answer = await shop.write(order_id, "refund", {"amount": amount}, rng=run.rng)
    _require(answer.status == 201, f"a refund that fits was answered {answer.raw!r}")


ROWS: Final = (
    Row("C5", "cumulative totals and single refunds from both sides", "shared", smoke=2, full=40, shared=c5),
    Row("C6", "events of another amount or currency", "shared", smoke=2, full=40, shared=c6),
    Row("W1", "forged signatures", "shared", smoke=200, full=10_000, shared=w1),
    Row("W2", "one merchant's signature on another's order", "shared", smoke=2, full=40, shared=w2),
    Row("W3", "five events in every order, up to three times each", "shared", smoke=8, full=120, shared=w3),
    Row("W4", "a Razorpay body under other event ids", "shared", smoke=2, full=40, shared=w4),
    Row("W5", "unknown merchants and types, poison events", "shared", smoke=100, full=5_000, shared=w5),
)
