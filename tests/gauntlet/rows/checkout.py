"""CO1–CO4: hosted checkout under impatient customers, dying processes, time that runs out, and forged forms."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any, Final

from tests.gauntlet.checker import check
from tests.gauntlet.checkouts import FORM, Checkout, check_sessions, checkout
from tests.gauntlet.client import Answer, new_session
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import Service, prepared, running
from tests.gauntlet.shop import Shop, opened
from tests.gauntlet.waiting import until, until_found

AT_ONCE: Final = 50
CLIENTS: Final = 5
CRASHES: Final = ("before_append", "mid_append", "after_commit")
CRASH_WITHIN_S: Final = 45.0
HALF_AN_HOUR_S: Final = 1800
DUE_IN_S: Final = 4.0
SESSIONS: Final = 12
SEE_OTHER: Final = 303
OFTEN: Final = 429
REFUSED: Final = 403
DECLINED: Final = "pm_card_visa_chargeDeclined"
ASKS: Final = "pm_card_threeDSecure2Required"


def _require(holds: object, what: str) -> None:
    if not holds:
        raise AssertionError(what)


async def co1(run: Run) -> None:
    """50 presses at once on one session, from several clients, while the API dies; then 50 more."""
    with running() as service:
        await service.ready()
        async with opened(service) as shop:
            for _ in range(run.times):
                point = f"crash:{run.rng.choice(CRASHES)}:{run.rng.randint(1, 2)}"
                session = await checkout(shop, run.rng)
                await _restarted(service, point)
                presses, _ = await asyncio.gather(_pressed(session), _back_after_its_crash(service, point))
                more = await _pressed(session)
                await _until_complete(session)
                verdict = await check(shop, other_orders=True)
                made = await session.payments()
                _require(len(made) == 1, f"{point}: payments of one session: {made}")
                run.say(f"{point}: {_statuses(presses)}, then {_statuses(more)}; {verdict}; {check_sessions(shop)}")


async def _pressed(session: Checkout) -> list[Answer]:
    """Every customer presses until there is an answer: to the page that goes on, or that it was very often."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(new_session()) for _ in range(CLIENTS)]
        answers = await asyncio.gather(
            *(session.press_until_answered(clients[number % CLIENTS]) for number in range(AT_ONCE))
        )
    _require({answer.status for answer in answers} <= {SEE_OTHER, OFTEN}, f"answers: {_statuses(answers)}")
    return answers


def _statuses(answers: list[Answer]) -> str:
    counted = Counter(answer.status for answer in answers)
    return ", ".join(f"{count} × {status}" for status, count in sorted(counted.items()))


async def _restarted(service: Service, *wrap: str) -> None:
    await asyncio.to_thread(service.api.stop)
    service.part("api", wrap=wrap).start()
    await service.ready()


async def _back_after_its_crash(service: Service, point: str) -> None:
    doomed = service.api
    await until(lambda: not doomed.running, CRASH_WITHIN_S, f"the API passes {point}")
    _require(doomed.status == -signal.SIGKILL, f"the API ended with {doomed.status}\n{doomed.tail()}")
    service.part("api").start()
    await service.ready()


async def _until_complete(session: Checkout) -> None:
    async def looks() -> bool:
        return bool((await session.read())["status"] == "complete")

    await until_found(looks, 60.0, f"session {session.id} is complete")


async def co2(run: Run) -> None:
    """Sessions whose time runs out while their customers pay, at once, slowly, at the bank, or not at all.

    The API is so far behind the database's time that its sessions are due after some seconds, and thinks them open
    for half an hour more: only the log keeps a payment from beginning after the expiry.
    """
    with prepared() as service:
        service.part("sandbox").start()
        service.part("api", wrap=(f"skew:{DUE_IN_S - HALF_AN_HOUR_S}",)).start()
        service.part("relay").start()
        service.wait_for_ports()
        async with opened(service) as shop:
            for _ in range(run.times):
                sessions = [await checkout(shop, run.rng) for _ in range(SESSIONS)]
                await shop.fault("payment.create", "slow", SESSIONS // 3, ms=run.rng.randint(300, 1500))
                began_s = asyncio.get_running_loop().time()
                await asyncio.gather(*(_paid_about_then(run, session, began_s) for session in sessions))
                await asyncio.gather(*(_until_over(session) for session in sessions))
                run.say(f"{await check(shop, other_orders=True)}; {check_sessions(shop)}")


async def _paid_about_then(run: Run, session: Checkout, began_s: float) -> None:
    """Presses about when the session is due, some a second time, by chance."""
    token = run.rng.choice(("pm_card_visa",) * 4 + (DECLINED, ASKS, ""))
    due_s = began_s + DUE_IN_S + run.rng.uniform(-1.0, 0.3)
    answers, again = run.rng.random() < 0.5, run.rng.random() < 0.5
    if not token:
        return
    await asyncio.sleep(max(0.0, due_s - asyncio.get_running_loop().time()))
    await _press(session, token=token)
    if token == ASKS and answers:
        await _answer_the_bank(session)
    attempt = await session.next_attempt() if again else None
    if attempt is not None:
        await _press(session, attempt=attempt)


async def _press(session: Checkout, **fields: str) -> None:
    answer = await session.press(fields)
    _require(answer.status == SEE_OTHER, f"a press was answered {answer.status}: {answer.raw!r}")


async def _answer_the_bank(session: Checkout) -> None:
    """The customer's answer, where the bank still waits for one."""
    for payment in await session.payments():
        if payment["status"] == "requires_action":
            async with session.shop.api.http.post(
                f"{session.shop.service.sandbox_url}/_sandbox/payments/{payment['id']}/authenticate",
                json={"result": "succeed"},
            ) as answer:
                # 400: the expiry called the payment off a moment ago.
                _require(answer.status in {200, 400}, await answer.text())


async def _until_over(session: Checkout) -> None:
    """Until the log says that it is over, and nothing of its order is open."""

    async def looks() -> bool:
        seen = await session.read()
        if seen["status"] == "open":
            return False
        order = None if seen["orderId"] is None else await session.shop.get(seen["orderId"])
        return order is None or order["status"] in {"captured", "cancelled"}

    await until_found(looks, 60.0, f"session {session.id} is over")


async def co3(run: Run, service: Service) -> None:
    """The merchant expires sessions while they are paid: first the one, then the other, and both at once."""
    async with opened(service) as shop:
        for _ in range(run.times):
            sessions = [await checkout(shop, run.rng) for _ in range(SESSIONS)]
            await shop.fault("payment.create", "slow", SESSIONS // 2, ms=800)
            said = await asyncio.gather(*(_expired_while_paid(run, session) for session in sessions))
            await asyncio.gather(*(_until_over(session) for session in sessions))
            verdict = await check(shop, other_orders=True)
            ends = [await session.read() for session in sessions]
            for answer, session in zip(said, ends, strict=True):
                known = {200: {"expired", "complete"}, 400: {"complete"}}
                _require(session["status"] in known[answer.status], f"expire: {answer.status}, then {session}")
            run.say(f"expire: {_statuses(said)}; {verdict}; {check_sessions(shop)}")


async def _expired_while_paid(run: Run, session: Checkout) -> Answer:
    """The merchant's answer: 200, or 400 because it was paid before."""
    lead_s = run.rng.uniform(-0.5, 0.5)

    async def pays() -> None:
        await asyncio.sleep(max(0.0, -lead_s))
        await _press(session)

    async def expires() -> Answer:
        await asyncio.sleep(max(0.0, lead_s))
        while True:
            answer = await session.expire()
            if answer.code != "version_conflict":
                return answer

    _, answer = await asyncio.gather(pays(), expires())
    refused = (answer.status, answer.code) == (400, "invalid_status")
    _require(answer.status == 200 or refused, f"expire was answered {answer.status}: {answer.raw!r}")
    return answer


async def co4(run: Run, service: Service) -> None:
    """Forms that say more than the page's, say it again, or come from elsewhere."""
    async with opened(service) as shop, opened(service) as other:
        for _ in range(run.times):
            await _forged_fields(run, shop, other)
            await _said_again(run, shop)
            await _from_elsewhere(run, shop)
            await _claimed(run, shop)
        run.say(f"{await check(shop, other, other_orders=True)}; {check_sessions(shop)}; {check_sessions(other)}")


async def _forged_fields(run: Run, shop: Shop, other: Shop) -> None:
    """Amounts, currencies, and ids of other sessions and merchants, said beside and instead: inert."""
    mine, theirs = await checkout(shop, run.rng), await checkout(other, run.rng)
    forged = {
        "amount": "1",
        "currency": "JPY",
        "captureMethod": "manual",
        "testMode": "false",
        "id": theirs.id,
        "sessionId": theirs.id,
        "merchantId": other.merchant_id,
        "merchant_id": other.merchant_id,
        "account": other.account,
    }
    await _press(mine, **forged)
    await _until_complete(mine)
    (made,) = await mine.payments()
    _require((made["amount"], made["currency"]) == (mine.amount, mine.currency), f"forged to {made}")
    _require((await theirs.read())["orderId"] is None, "a form of one session placed another's order")
    _require(not (await other.ledger())["payments"], "a form of one merchant's session charged another's account")
    for key in (other.api, shop.dashboard):
        answer = await key.once("POST", f"/v1/checkout/sessions/{mine.id}/expire", {})
        _require(answer.status in {403, 404}, f"another's credential: {answer.status}")


async def _said_again(run: Run, shop: Shop) -> None:
    """A form that was sent, of an attempt that was or is not yet: begins nothing."""
    session = await checkout(shop, run.rng)
    for attempt in ("0", "2", "99", "999"):
        await _press(session, attempt=attempt)
    _require((await session.read())["orderId"] is None, "an attempt that is not the next one began")
    await _press(session, token=DECLINED)
    await until_found(lambda: _shows(session, "2"), 60.0, "the decline is shown")
    for _ in range(3):
        await _press(session)
    _require(len(await session.payments()) == 1, "a form that was sent before charged again")
    await _press(session, attempt="2")
    await _until_complete(session)
    for attempt in ("1", "2", "3"):
        await _press(session, attempt=attempt)
    _require(len(await session.payments()) == 2, "a form charged what was paid")


async def _shows(session: Checkout, attempt: str) -> bool:
    return await session.next_attempt() == attempt


async def _from_elsewhere(run: Run, shop: Shop) -> None:
    """Another site's form, one without a session, and what is no form."""
    session = await checkout(shop, run.rng)
    for site in ("cross-site", "same-site"):
        answer = await session.press(headers={"Sec-Fetch-Site": site, "Origin": "https://evil.example"})
        _require(answer.status == REFUSED, f"a form from {site} was answered {answer.status}")
    _require((await session.page("/pay")).status == 405, "a payment began by GET")
    for content_type in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
        answer = await session.press(headers={"Content-Type": content_type})
        _require(answer.status == 415, f"a form as {content_type} was answered {answer.status}")
    _require((await session.read())["orderId"] is None, "what is no form of the page placed an order")


async def _claimed(run: Run, shop: Shop) -> None:
    """A browser that comes back and says that it has paid."""
    session = await checkout(shop, run.rng)
    await _press(session, token=ASKS)
    await until_found(lambda: _waits_for_the_bank(session), 60.0, "the bank is asked")
    customer = session.customer()
    claims: tuple[tuple[str, str, bytes], ...] = (
        ("GET", "?payment_intent=pi_1&redirect_status=succeeded", b""),
        ("POST", "", b"razorpay_payment_id=pay_1&razorpay_order_id=order_1&razorpay_signature=00"),
    )
    for method, query, body in claims:
        answer = await customer.once(method, f"{session.path}/return{query}", raw=body, headers=FORM if body else None)
        _require(answer.status == SEE_OTHER, f"a claim was answered {answer.status}")
    seen: dict[str, Any] = await session.read()
    _require(seen["status"] == "open", f"a browser's word completed a session: {seen}")
    await _answer_the_bank(session)
    await customer.once("GET", f"{session.path}/return?redirect_status=succeeded")
    await _until_complete(session)


async def _waits_for_the_bank(session: Checkout) -> bool:
    return any(payment["status"] == "requires_action" for payment in await session.payments())


ROWS: Final = (
    Row("CO1", "50 presses on one checkout session while the API dies", "own", smoke=1, full=10, own=co1),
    Row("CO2", "checkout sessions whose time runs out while they are paid", "own", smoke=1, full=5, own=co2),
    Row("CO3", "checkout sessions expired by API while they are paid", "shared", smoke=1, full=10, shared=co3),
    Row("CO4", "forms of the checkout forged, said again, from elsewhere", "shared", smoke=1, full=5, shared=co4),
)
