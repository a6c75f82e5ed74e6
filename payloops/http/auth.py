"""Who calls: an API key on the merchant API, a token on the dashboard's. The other kind of credential is 403 there.

An API key is proved twice. Its secret: here, by bcrypt once, then by a cache of verified keys. That it still holds: in
every request's own statement (a command's append, a read's query), or, where a request fails before either, by a query
of its own (``prove``). A token is proved by its signature here, and by one indexed look that it was not revoked.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID

from payloops.commands.handlers import Guard
from payloops.crypto import Claims, HashingPool, JwtSigner, KeyRing, ParsedApiKey, VerifiedKeyCache, parse_api_key
from payloops.errors import Forbidden, InvalidApiKey, InvalidToken, Overloaded, Unauthorized
from payloops.events.base import Actor
from payloops.http.message import Request
from payloops.projections.personal_data import open_key_hash
from payloops.projections.tokens import Tokens
from payloops.projections.views import Reader, Views, not_valid
from payloops.values import Clock

if TYPE_CHECKING:
    from payloops.http.rate_limits import KeyBucket, RateLimits
    from payloops.http.routing import Scope

API_KEY_HEADER: Final = "X-API-Key"
AUTHORIZATION_HEADER: Final = "Authorization"
SCOPES: Final = ("orders:read", "orders:write", "refunds:write", "checkout:read", "checkout:write")
"""What an API key can be limited to; a key without scopes may do everything."""
CHECKS_PER_KEY_MAX: Final = 8
"""Secrets of one public id that may wait for bcrypt at a time: guessing at one key leaves the threads to the others."""

_KEY_PREFIXES: Final = ("sk_test_", "sk_live_")
_BEARER: Final = "bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, in the forms in which commands, queries and events want to know it."""

    merchant_id: UUID
    actor: Actor
    guard: Guard
    reader: Reader
    live: bool = False
    """The mode of the API key: orders made with it are live or test orders."""
    scopes: frozenset[str] | None = None
    """What the key may do, None: everything. A write scope includes reading the same noun."""
    bucket: KeyBucket | None = field(default=None, compare=False)
    """How many more requests this process takes of the API key."""
    claims: Claims | None = None
    """What the token says, when it is one."""

    @property
    def token(self) -> Claims:
        """What the token says. Only routes for users have one."""
        if self.claims is None:
            raise RuntimeError("a route for API keys asks what the token says")
        return self.claims

    def admit(self, now_s: float) -> None:
        """Count a request of the API key. Raises RateLimited."""
        if self.bucket is not None:
            self.bucket.take(now_s)

    def require(self, scope: Scope | None) -> None:
        """Raises Forbidden."""
        if scope is not None and self.scopes is not None and scope not in self.scopes:
            raise Forbidden(f"This API key lacks the scope {scope}.")


class Authenticator:
    """Finds the caller of a request, or says why there is none."""

    def __init__(
        self,
        *,
        views: Views,
        ring: KeyRing,
        hashing: HashingPool,
        jwt: JwtSigner,
        tokens: Tokens,
        rate_limits: RateLimits,
        key_cache: VerifiedKeyCache[Caller],
        clock: Clock,
    ) -> None:
        self._views = views
        self._ring = ring
        self._hashing = hashing
        self._jwt = jwt
        self._tokens = tokens
        self._rate_limits = rate_limits
        self._key_cache = key_cache
        self._clock = clock
        self._checks: dict[str, asyncio.Task[Caller]] = {}
        self._checks_of: dict[str, int] = {}

    def known_key(self, request: Request) -> Caller | None:
        """The caller, when its key was verified a moment ago: the way of almost every request.

        Whether the key has expired is the database's to say, in the request's own statement: our clock may be wrong.
        """
        # One look-up of the header, as ``get`` would be: of two keys none counts, so the first must not be taken alone.
        texts = request.headers.getall(API_KEY_HEADER, ())
        return self._key_cache.get(texts[0]) if len(texts) == 1 else None

    async def api_key(self, request: Request) -> Caller:
        """The caller on the merchant API.

        Raises Unauthorized, Forbidden (a token of the dashboard), InvalidApiKey, Overloaded, Unavailable.
        """
        texts = request.headers.getall(API_KEY_HEADER, ())
        if not texts:
            self._refuse_token(request)
            raise Unauthorized(f"Send your API key in the {API_KEY_HEADER} header.")
        if len(texts) > 1:
            raise InvalidApiKey(f"Send one {API_KEY_HEADER} header; this request has {len(texts)}.")
        parsed = parse_api_key(texts[0])
        if parsed is None:
            raise InvalidApiKey(
                "This is not an API key: keys begin with sk_test_ or sk_live_, have 58 characters, and end in check "
                "digits that fit the rest; copy it once more."
            )
        return await self._verified(parsed)

    async def user(self, request: Request) -> Caller:
        """The caller on the dashboard API. Raises Unauthorized, Forbidden (an API key), InvalidToken, Unavailable."""
        headers = request.headers.getall(AUTHORIZATION_HEADER, ())
        if len(headers) > 1:
            raise InvalidToken(f"Send one {AUTHORIZATION_HEADER} header; this request has {len(headers)}.")
        header = headers[0] if headers else ""
        token = header[len(_BEARER) :].strip() if header[: len(_BEARER)].lower() == _BEARER else ""
        if token.startswith(_KEY_PREFIXES) or (not header and _brings_key(request)):
            raise Forbidden("API keys are for /v1; the dashboard's calls take a token: Authorization: Bearer (token).")
        if not token:
            raise Unauthorized("Sign in and send the token: Authorization: Bearer (token).")
        claims = self._jwt.verify(token, self._clock.now())
        if not await self._tokens.hold(claims):
            raise InvalidToken("This token is not valid: it is malformed, expired or revoked; sign in again.")
        merchant_id = claims.merchant_id
        return Caller(
            merchant_id, Actor("user", str(merchant_id)), Guard(merchant_id), Reader(merchant_id), claims=claims
        )

    def _refuse_token(self, request: Request) -> None:
        """A token that holds is a right credential of the wrong kind; any other is none."""
        headers = request.headers.getall(AUTHORIZATION_HEADER, ())
        header = headers[0] if len(headers) == 1 else ""
        if header[: len(_BEARER)].lower() != _BEARER or header[len(_BEARER) :].startswith(_KEY_PREFIXES):
            return
        try:
            self._jwt.verify(header[len(_BEARER) :].strip(), self._clock.now())
        except InvalidToken:
            return
        raise Forbidden(f"Tokens are for the dashboard; calls of /v1 take an API key in the {API_KEY_HEADER} header.")

    async def _verified(self, key: ParsedApiKey) -> Caller:
        """Verify the secret, once for all requests that bring the same key at the same time."""
        if self._key_cache.knows(key.public_id):
            # Another secret was verified for this public id, and it has only one: no need for bcrypt.
            raise not_valid()
        check = self._checks.get(key.full)
        if check is None:
            waiting = self._checks_of.get(key.public_id, 0)
            if waiting >= CHECKS_PER_KEY_MAX:
                raise Overloaded("Too many requests try to use this API key; send the request again in a moment.")
            self._checks_of[key.public_id] = waiting + 1
            check = asyncio.create_task(self._check(key), name="api-key-check")
            self._checks[key.full] = check
            check.add_done_callback(lambda _: self._checked(key))
        return await asyncio.shield(check)

    async def _check(self, key: ParsedApiKey) -> Caller:
        row = await self._views.api_key(key.public_id)
        if row is None or row.live != key.live:
            raise not_valid()
        secret_hash = open_key_hash(self._ring, row.merchant_id, row.key_id, row.secret_hash)
        if not await self._hashing.verify(key.full, secret_hash):
            raise not_valid()
        caller = Caller(
            merchant_id=row.merchant_id,
            actor=Actor("api_key", str(row.key_id)),
            guard=Guard(row.merchant_id, row.key_id, row.live),
            reader=Reader(row.merchant_id, row.key_id),
            live=row.live,
            scopes=granted(row.scopes),
            bucket=self._rate_limits.of_key(row.key_id, asyncio.get_running_loop().time()),
        )
        self._key_cache.put(key.full, key.public_id, caller)
        return caller

    def _checked(self, key: ParsedApiKey) -> None:
        self._checks.pop(key.full, None)
        waiting = self._checks_of.pop(key.public_id, 1) - 1
        if waiting:
            self._checks_of[key.public_id] = waiting


def _brings_key(request: Request) -> bool:
    return any(text.startswith(_KEY_PREFIXES) for text in request.headers.getall(API_KEY_HEADER, ()))


def granted(scopes: tuple[str, ...]) -> frozenset[str] | None:
    """All that these scopes allow; None means everything."""
    if not scopes:
        return None
    allowed = set(scopes)
    allowed.update(f"{scope.removesuffix(':write')}:read" for scope in scopes if scope.endswith(":write"))
    if "orders:read" in allowed:
        # An order's refunds are a part of it, as its transactions are.
        allowed.add("refunds:read")
    return frozenset(allowed)
