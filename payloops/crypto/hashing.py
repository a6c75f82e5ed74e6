"""bcrypt for API keys and passwords, and the bounded pool of threads that runs it.

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
import threading
import unicodedata
from collections.abc import Callable
from typing import Final, TypeVar

import bcrypt

from payloops.errors import Overloaded, Unavailable

SECRET_COST: Final = 10
"""log2 of bcrypt's rounds for API keys, which are random and can't be guessed."""
PASSWORD_COST: Final = 12
PASSWORD_LENGTH_MAX: Final = 128
"""Characters (code points) of a password as sent."""
BCRYPT_BYTES_MAX: Final = 72

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
    """A few threads for bcrypt, which releases the interpreter lock, behind a bounded queue.

    Every method but ``close`` raises ``Overloaded`` at once when ``max_pending`` calls are queued or running, and
    ``Unavailable`` after ``close``.
    """

    def __init__(
        self,
        *,
        threads: int = 2,
        max_pending: int = 32,
        secret_cost: int = SECRET_COST,
        password_cost: int = PASSWORD_COST,
    ) -> None:
        self._secret_cost = secret_cost
        self._password_cost = password_cost
        self._slots = threading.BoundedSemaphore(max_pending)
        self._executor = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="hashing")

    async def hash(self, text: str) -> str:
        """``hash_secret`` on a thread."""
        return await self._run(lambda: hash_secret(text, self._secret_cost))

    async def verify(self, text: str, hashed: str) -> bool:
        """``verify_secret`` on a thread."""
        return await self._run(lambda: verify_secret(text, hashed))

    async def hash_password(self, password: str) -> str:
        """``hash_password`` on a thread."""
        return await self._run(lambda: hash_password(password, self._password_cost))

    async def verify_password(self, password: str, hashed: str | None) -> bool:
        """``verify_password`` on a thread."""
        return await self._run(lambda: verify_password(password, hashed, self._password_cost))

    def close(self) -> None:
        """Drops what is queued and waits for what runs: at most one hash per thread."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        if not self._slots.acquire(blocking=False):
            raise Overloaded("too many keys and passwords are being checked at once; try again")
        try:
            future = self._executor.submit(work)
        except RuntimeError:
            self._slots.release()
            raise Unavailable("the service is stopping") from None
        # The slot is held until the thread is done: a caller that gave up has not freed it.
        future.add_done_callback(lambda _: self._slots.release())
        return await asyncio.wrap_future(future)


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
