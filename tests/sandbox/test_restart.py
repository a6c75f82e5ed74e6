"""The state outlives the process, however it ends."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from payloops.errors import ConfigurationError
from payloops.sandbox.app import Sandbox, build_sandbox
from payloops.values import SystemClock
from tests.sandbox.world import Receiver, World

PAID: Any = {"amount": 500, "currency": "usd", "confirm": True, "metadata": {"order_id": "o-1"}}

_PROGRAM = """
import sys
from pathlib import Path
from payloops.sandbox.process import run_sandbox

def ready(sandbox):
    print(sandbox.stripe_url, sandbox.razorpay_url, flush=True)

sys.exit(run_sandbox(Path(sys.argv[1]), host="127.0.0.1", stripe_port=0, razorpay_port=0, ready=ready))
"""


@asynccontextmanager
async def running(path: Path | None, **options: Any) -> AsyncIterator[Sandbox]:
    sandbox = build_sandbox(path, SystemClock(), **options)
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.stop()


@contextmanager
def process(path: Path) -> Iterator[tuple[subprocess.Popen[str], Sandbox]]:
    """A sandbox in another process, and its URLs on a sandbox of ours that is not started."""
    started = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert started.stdout is not None
        there = build_sandbox(None, SystemClock())
        there.stripe_url, there.razorpay_url = started.stdout.readline().split()
        yield started, there
    finally:
        started.kill()
        started.wait()
        if started.stdout is not None:
            started.stdout.close()


async def test_everything_survives_a_restart(
    tmp_path: Path, session: aiohttp.ClientSession, receiver: Receiver
) -> None:
    path = tmp_path / "deep" / "sandbox.sqlite3"
    async with running(path) as sandbox:
        world = World(sandbox, session, receiver)
        await world.listen()
        await world.fault("payment.create", "http_500", times=2)
        assert (await world.stripe_call("POST", "/payment_intents", json=PAID)).status == 500
        await world.fault("payment.get", "http_429")
        order = await world.razorpay_order(receipt="o-1-1", payment_capture=True)
        paid = await world.act(order["id"], "pay")
        other = World(sandbox, session, receiver)
        first = await other.stripe_call("POST", "/payment_intents", json=PAID, headers={"Idempotency-Key": "key-1"})
        before = [
            await one.ledger(account)
            for one in (world, other)
            for account in (one.stripe_account, one.razorpay_account)
        ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with running(path) as sandbox:
        world.sandbox = other.sandbox = sandbox
        after = [
            await one.ledger(account)
            for one in (world, other)
            for account in (one.stripe_account, one.razorpay_account)
        ]
        assert after == before
        again = await other.stripe_call("POST", "/payment_intents", json=PAID, headers={"Idempotency-Key": "key-1"})
        assert (again.body, again.headers["Idempotent-Replayed"]) == (first.body, "true")
        assert (await world.stripe_call("GET", "/payment_intents")).status == 429
        assert (await world.stripe_call("POST", "/payment_intents", json=PAID)).status == 500
        assert (await world.stripe_call("POST", "/payment_intents", json=PAID)).status == 200
        assert {one.body["type"] for one in await receiver.take(3)} >= {"payment_intent.succeeded"}
        assert (await world.razorpay("GET", f"/payments/{paid['id']}")).body["status"] == "captured"
        assert (await world.razorpay("GET", "/orders", secret="another")).status == 401


async def test_what_is_due_later_happens_after_a_restart(
    tmp_path: Path, session: aiohttp.ClientSession, receiver: Receiver
) -> None:
    path = tmp_path / "sandbox.sqlite3"
    async with running(path, settle_delay_s=0.3) as sandbox:
        world = World(sandbox, session, receiver)
        await world.listen(delayMs=300)
        intent = await world.stripe_call(
            "POST", "/payment_intents", json=PAID | {"payment_method": "pm_card_pendingRefund"}
        )
        refund = await world.stripe_call("POST", "/refunds", json={"payment_intent": intent.body["id"]})
        assert refund.body["status"] == "pending"
    assert receiver.waiting == 0
    async with running(path) as sandbox:
        world.sandbox = sandbox
        await receiver.until("charge.refunded")
        await receiver.until("refund.updated")
        assert (await world.stripe_call("GET", f"/refunds/{refund.body['id']}")).body["status"] == "succeeded"


async def test_memory_forgets(session: aiohttp.ClientSession, receiver: Receiver) -> None:
    async with running(None) as sandbox:
        world = World(sandbox, session, receiver)
        await world.stripe_call("POST", "/payment_intents", json=PAID)
    async with running(None) as sandbox:
        world.sandbox = sandbox
        assert (await world.ledger())["payments"] == []


async def test_acknowledged_work_survives_kill_9(
    tmp_path: Path, session: aiohttp.ClientSession, receiver: Receiver
) -> None:
    path = tmp_path / "sandbox.sqlite3"
    with process(path) as (started, there):
        world = World(there, session, receiver)
        await world.fault("payment.create", "http_500", times=2)
        assert (await world.stripe_call("POST", "/payment_intents", json=PAID)).status == 500
        await world.fault("payment.get", "slow", ms=0)
        other = World(there, session, receiver)
        acknowledged = [
            (await other.stripe_call("POST", "/payment_intents", json=PAID, headers={"Idempotency-Key": f"k{n}"})).body
            for n in range(25)
        ]
        os.kill(started.pid, signal.SIGKILL)
        started.wait()
    with process(path) as (started, there):
        world.sandbox = other.sandbox = there
        assert [payment["id"] for payment in (await other.ledger())["payments"]] == [one["id"] for one in acknowledged]
        again = await other.stripe_call("POST", "/payment_intents", json=PAID, headers={"Idempotency-Key": "k24"})
        assert again.body == acknowledged[24]
        assert (await world.stripe_call("POST", "/payment_intents", json=PAID)).status == 500
        assert (await world.stripe_call("POST", "/payment_intents", json=PAID)).status == 200
        started.terminate()
        assert started.wait(timeout=60) == 0


async def test_a_second_sandbox_on_the_same_state_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payloops.sandbox.store._LOCK_TIMEOUT_S", 0.01)
    path = tmp_path / "sandbox.sqlite3"
    async with running(path):
        with pytest.raises(ConfigurationError, match="locked"):
            await build_sandbox(path, SystemClock()).start()


async def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(ConfigurationError, match="not a state"):
        await build_sandbox(path, SystemClock()).start()
    newer = tmp_path / "newer.sqlite3"
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(ConfigurationError, match="another version"):
        await build_sandbox(newer, SystemClock()).start()


async def test_a_taken_port_is_told_in_one_line() -> None:
    async with running(None) as sandbox:
        port = int(sandbox.stripe_url.rsplit(":", 1)[1])
        with pytest.raises(ConfigurationError, match=f"port {port} on 127.0.0.1 is taken"):
            await build_sandbox(None, SystemClock()).start("127.0.0.1", 0, port)


async def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(ConfigurationError, match="can't be used"):
        await build_sandbox(None, SystemClock()).start("192.0.2.1", 0, 0)


async def test_public_urls(session: aiohttp.ClientSession, receiver: Receiver) -> None:
    async with running(None, public_url="https://sandbox.example") as sandbox:
        world = World(sandbox, session, receiver)
        body = PAID | {"payment_method": "pm_card_authenticationRequired", "return_url": "https://shop.example"}
        intent = (await world.stripe_call("POST", "/payment_intents", json=body)).body
        assert intent["next_action"]["redirect_to_url"]["url"].startswith("https://sandbox.example/_sandbox/3ds/")
    everywhere = build_sandbox(None, SystemClock())
    await everywhere.start("0.0.0.0")
    assert everywhere.stripe_url.startswith("http://127.0.0.1:")
    await everywhere.stop()
    await everywhere.stop()
