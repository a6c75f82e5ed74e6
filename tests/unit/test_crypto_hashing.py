"""Passwords, and the bounded pool that hashes."""

from __future__ import annotations

import asyncio
import base64
import hmac
import os
import sys
import threading
from collections.abc import Iterator

import bcrypt
import pytest

from payloops.crypto import (
    DUMMY_HASH,
    HashingPool,
    dummy_hash,
    hash_password,
    hash_secret,
    verify_password,
    verify_secret,
)
from payloops.crypto import hashing as hashing_module
from payloops.errors import Overloaded, Unavailable

GOLDEN_HASH = "$2b$04$xIr.SGqVVFUXvRYqE8MvJ./9Azxn0ZU1Ok.DfuwpRMXsIPVHcrrjC"
COMPOSED, DECOMPOSED = "caf\u00e9 correct horse", "cafe\u0301 correct horse"


def test_golden_hash_still_verifies() -> None:
    assert verify_password(COMPOSED, GOLDEN_HASH)


def test_the_pre_hash_is_the_documented_one() -> None:
    prepared = base64.b64encode(hmac.digest(b"payloops/password/v1", COMPOSED.encode(), "sha256"))
    assert bcrypt.checkpw(prepared, GOLDEN_HASH.encode())


def test_one_normal_form() -> None:
    assert verify_password(DECOMPOSED, GOLDEN_HASH)
    for other in (COMPOSED.upper(), COMPOSED + " ", "cafe correct horse", "\uff43af\u00e9 correct horse"):
        assert not verify_password(other, GOLDEN_HASH)


def test_all_128_characters_count() -> None:
    long = "\U0001f600" * 128
    hashed = hash_password(long, cost=4)
    assert verify_password(long, hashed)
    assert not verify_password(long[:-1] + "x", hashed)


def test_a_nul_does_not_end_the_password() -> None:
    assert not verify_password("before\0other", hash_password("before\0after", cost=4))


@pytest.mark.parametrize("password", ("x" * 129, "canary\ud800"))
def test_what_is_no_password(password: str) -> None:
    with pytest.raises(ValueError, match="at most 128 characters") as refused:
        hash_password(password, cost=4)
    assert "canary" not in repr(refused.value)
    assert not isinstance(refused.value, UnicodeError)
    assert not verify_password(password, GOLDEN_HASH)
    assert not verify_password(password, None, cost=4)


def test_an_unknown_account_costs_a_real_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same work, counted where it is done: the cost in the hash is what decides how long bcrypt takes."""
    asked: list[bytes] = []

    def record(_password: bytes, hashed: bytes) -> bool:
        asked.append(hashed[:7])
        return True

    monkeypatch.setattr(bcrypt, "checkpw", record)
    assert not verify_password("secret", None)
    assert verify_password("secret", DUMMY_HASH)
    assert not verify_password("x" * 500, None)
    assert not verify_password("secret", None, cost=5)
    assert asked == [b"$2b$12$", b"$2b$12$", b"$2b$12$", b"$2b$05$"]


def test_the_dummy_hash_is_a_hash_that_nothing_has() -> None:
    assert dummy_hash(12) == DUMMY_HASH
    assert len(DUMMY_HASH) == 60
    for guess in (b"", b"password", b"dummy"):
        assert not bcrypt.checkpw(guess, dummy_hash(4).encode())
    assert not verify_password("", None, cost=4)


@pytest.fixture
def pool() -> Iterator[HashingPool]:
    pool = HashingPool(threads=2, max_pending=3, secret_cost=4, password_cost=4)
    yield pool
    pool.close()


async def test_the_pool_hashes_and_verifies(pool: HashingPool) -> None:
    hashed = await pool.hash("sk_test_x")
    assert hashed.startswith("$2b$04$")
    assert await pool.verify("sk_test_x", hashed)
    assert not await pool.verify("sk_test_y", hashed)
    password_hash = await pool.hash_password(COMPOSED)
    assert await pool.verify_password(DECOMPOSED, password_hash)
    assert not await pool.verify_password(DECOMPOSED, None)
    assert verify_secret("sk_test_x", hashed)
    assert not verify_secret("x" * 73, hash_secret("x", 4))


class Gate:
    """Holds every hash until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        monkeypatch.setattr(hashing_module, "verify_secret", self._wait)

    def _wait(self, _text: str, _hashed: str) -> bool:
        self.entered.release()
        return self.open.wait(timeout=30)


async def test_a_full_pool_refuses_at_once(pool: HashingPool, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    waiting = [asyncio.create_task(pool.verify("a", "b")) for _ in range(3)]
    await asyncio.to_thread(gate.entered.acquire)
    with pytest.raises(Overloaded) as refused:
        await pool.verify("a", "b")
    assert refused.value.retryable
    gate.open.set()
    assert await asyncio.gather(*waiting) == [True, True, True]
    assert await pool.verify("a", "b")


async def test_a_caller_that_gives_up_frees_its_place_only_when_the_thread_is_done(
    pool: HashingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    running = [asyncio.create_task(pool.verify("a", "b")) for _ in range(2)]
    for _ in running:
        await asyncio.to_thread(gate.entered.acquire)
    queued = asyncio.create_task(pool.verify("a", "b"))
    await asyncio.sleep(0)
    for task in (*running, queued):
        task.cancel()
    await asyncio.gather(*running, queued, return_exceptions=True)
    # The queued one never ran: its place is free. The two that run still hold theirs.
    replacement = asyncio.create_task(pool.verify("a", "b"))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await pool.verify("a", "b")
    gate.open.set()
    assert await replacement


async def test_a_closed_pool_is_unavailable() -> None:
    pool = HashingPool(threads=1, max_pending=1)
    pool.close()
    for _ in range(2):
        with pytest.raises(Unavailable, match="stopping"):
            await pool.hash("x")


async def test_passwords_keep_no_key_waiting(pool: HashingPool, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    monkeypatch.setattr(hashing_module, "verify_password", lambda _password, _hashed, _cost: gate.open.wait(timeout=30))
    monkeypatch.setattr(hashing_module, "verify_secret", verify_secret)
    logins = [asyncio.create_task(pool.verify_password("a", "b")) for _ in range(3)]
    pool.require_room_for_password()
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await pool.verify_password("a", "b")
    with pytest.raises(Overloaded):
        pool.require_room_for_password()
    assert await pool.verify("sk_test_x", await pool.hash("sk_test_x"))
    gate.open.set()
    assert await asyncio.gather(*logins) == [True, True, True]


async def test_nobody_waits_longer_than_so(pool: HashingPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing_module, "WAIT_MAX_S", 0.05)
    gate = Gate(monkeypatch)
    waiting = [asyncio.create_task(pool.verify("a", "b")) for _ in range(3)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Overloaded] * 3
    gate.open.set()


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priorities of their own")
async def test_threads_for_passwords_give_way(pool: HashingPool, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []

    def note(*_: object) -> bool:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return True

    monkeypatch.setattr(hashing_module, "verify_password", note)
    monkeypatch.setattr(hashing_module, "verify_secret", note)
    await pool.verify("a", "b")
    await pool.verify_password("a", "b")
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert found == [ours, min(19, ours + hashing_module.PASSWORD_NICENESS)]
