"""bcrypt for API keys and passwords, and the bounded pools of threads that run it.

bcrypt reads at most 72 bytes and its library raises above that. An API key is shorter by its form. A password may
have 128 characters, so it is hashed first, with HMAC-SHA256 under a fixed label and in base64 (bcrypt stops at a
NUL byte). The label keeps a bare SHA-256 leaked elsewhere from being tried here as a password.

A password is compared in Unicode normal form NFC, the form of RFC 8265's OpaqueString: an ``é`` typed as one character
or as two is the same password. Nothing else is changed: neither case nor width nor blanks.
"""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import hmac
import os
import sys
import threading
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

import bcrypt

from payloops.errors import Overloaded, Unavailable

SECRET_COST: Final = 10
"""log2 of bcrypt's rounds for API keys, which are random and can't be guessed."""
PASSWORD_COST: Final = 12
PASSWORD_LENGTH_MAX: Final = 128
"""Characters (code points) of a password as sent."""
BCRYPT_BYTES_MAX: Final = 72

KEY_THREADS: Final = 2
PASSWORD_THREADS: Final = 1
PASSWORD_NICENESS: Final = 5
"""Added to that of the process: threads that verify passwords get what payments leave of the processors."""

WAIT_MAX_S: Final = 10.0
"""How long a call waits for its turn and its hash: nobody signs in after a minute."""

_PASSWORD_LABEL: Final = b"payloops/password/v1"
_DUMMY_TAIL: Final = "$CRFVkoypDdUVgsCBf8WdCuzo0BmbUWI/t1M4PY0YKRjLRetRyLLB."

_Result = TypeVar("_Result")


def dummy_hash(cost: int = PASSWORD_COST) -> str:
    """A hash that no known password has, and that takes as long to verify as a real one of this cost."""
    return f"$2b${cost:02d}{_DUMMY_TAIL}"


DUMMY_HASH: Final = dummy_hash()
"""What the password of an unknown e-mail address is verified against, so that the time does not tell."""


def hash_secret(text: str, cost: int = SECRET_COST) -> str:
    """The bcrypt hash of an API key. Raises ``ValueError``, without the text in it, above 72 bytes of UTF-8."""
    secret = _utf8(text)
    if secret is None or len(secret) > BCRYPT_BYTES_MAX:
        raise ValueError(f"a secret to hash must be text of at most {BCRYPT_BYTES_MAX} bytes")
    return bcrypt.hashpw(secret, bcrypt.gensalt(cost)).decode("ascii")


def verify_secret(text: str, hashed: str) -> bool:
    """Whether ``hashed`` is the hash of ``text``; False for text that can't have been hashed, or a damaged hash."""
    secret = _utf8(text)
    if secret is None or len(secret) > BCRYPT_BYTES_MAX:
        return False
    return _check(secret, hashed)


def hash_password(password: str, cost: int = PASSWORD_COST) -> str:
    """The bcrypt hash of a password.

    Raises ``ValueError``, without the password in it, above 128 characters or for a lone surrogate.
    """
    prepared = _prepare_password(password)
    if prepared is None:
        raise ValueError(f"a password must be text of at most {PASSWORD_LENGTH_MAX} characters")
    return bcrypt.hashpw(prepared, bcrypt.gensalt(cost)).decode("ascii")


def verify_password(password: str, hashed: str | None, cost: int = PASSWORD_COST) -> bool:
    """Whether ``hashed`` is the hash of ``password``.

    None stands for an account that does not exist: the work of one verification at ``cost`` is done, the answer is
    False. A password that can't have been hashed costs the same too.
    """
    prepared = _prepare_password(password)
    matches = _check(prepared or b"", dummy_hash(cost) if hashed is None else hashed)
    return matches and prepared is not None and hashed is not None


class HashingPool:
    """Threads for bcrypt, which releases the interpreter lock: a few for API keys, others for passwords.

    Apart, so that a flood of logins keeps no API key waiting; and those for passwords give way to all other work of the
    machine, where its threads have priorities of their own (Linux).

    Every method but ``close`` raises ``Overloaded`` at once when ``max_pending`` calls of its kind are queued or
    running, or when it has waited ``WAIT_MAX_S``, and ``Unavailable`` after ``close``.
    """

    def __init__(
        self,
        *,
        threads: int = KEY_THREADS,
        password_threads: int = PASSWORD_THREADS,
        max_pending: int = 32,
        secret_cost: int = SECRET_COST,
        password_cost: int = PASSWORD_COST,
    ) -> None:
        self._secret_cost = secret_cost
        self._password_cost = password_cost
        self._keys = _Lane("keys", threads, max_pending)
        self._passwords = _Lane("passwords", password_threads, max_pending, niceness=PASSWORD_NICENESS)

    async def hash(self, text: str) -> str:
        """``hash_secret`` on a thread."""
        return await self._keys.run(lambda: hash_secret(text, self._secret_cost))

    async def verify(self, text: str, hashed: str) -> bool:
        """``verify_secret`` on a thread."""
        return await self._keys.run(lambda: verify_secret(text, hashed))

    async def hash_password(self, password: str) -> str:
        """``hash_password`` on a thread."""
        return await self._passwords.run(lambda: hash_password(password, self._password_cost))

    async def verify_password(self, password: str, hashed: str | None) -> bool:
        """``verify_password`` on a thread."""
        return await self._passwords.run(lambda: verify_password(password, hashed, self._password_cost))

    def require_room_for_password(self) -> None:
        """Raises ``Overloaded`` when a password could not be checked now: to be asked before other work is done."""
        self._passwords.require_room()

    def close(self) -> None:
        """Drops what is queued and waits for what runs: at most one hash per thread."""
        self._keys.close()
        self._passwords.close()


class _Lane:
    """Threads behind a bounded queue."""

    def __init__(self, name: str, threads: int, max_pending: int, *, niceness: int = 0) -> None:
        self._slots = threading.BoundedSemaphore(max_pending)
        self._executor = concurrent.futures.ThreadPoolExecutor(
            threads, thread_name_prefix=f"hashing-{name}", initializer=_give_way, initargs=(niceness,)
        )

    def require_room(self) -> None:
        if not self._slots.acquire(blocking=False):
            raise _overloaded()
        self._slots.release()

    async def run(self, work: Callable[[], _Result]) -> _Result:
        if not self._slots.acquire(blocking=False):
            raise _overloaded()
        try:
            future = self._executor.submit(work)
        except RuntimeError:
            self._slots.release()
            raise Unavailable("The service is stopping; send the request again.") from None
        # The slot is held until the thread is done: a caller that gave up has not freed it.
        future.add_done_callback(lambda _: self._slots.release())
        try:
            async with asyncio.timeout(WAIT_MAX_S):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise _overloaded() from None

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


def _overloaded() -> Overloaded:
    return Overloaded("Too many keys and passwords are being checked at once; try again in a moment.")


def _give_way(niceness: int) -> None:
    """Lower this thread's priority. Linux only: elsewhere priorities are a whole process's."""
    if niceness and sys.platform == "linux":
        with suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + niceness)


def _utf8(text: str) -> bytes | None:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return None


def _prepare_password(password: str) -> bytes | None:
    if len(password) > PASSWORD_LENGTH_MAX:
        return None
    normal = _utf8(unicodedata.normalize("NFC", password))
    if normal is None:
        return None
    return base64.b64encode(hmac.digest(_PASSWORD_LABEL, normal, "sha256"))


def _check(secret: bytes, hashed: str) -> bool:
    try:
        return bcrypt.checkpw(secret, hashed.encode("ascii"))
    except ValueError:
        # Not a bcrypt hash, or not ASCII (UnicodeEncodeError is a ValueError).
        return False
