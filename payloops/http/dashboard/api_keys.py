"""API keys: making, listing, rolling and revoking them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson

from payloops.commands.idempotency import Response
from payloops.commands.merchant import CreateApiKey, RevokeApiKey, RollApiKey
from payloops.crypto import ApiKeyMaterial, generate_api_key
from payloops.errors import InvalidInput, NotFound
from payloops.events.merchant_state import ApiKey, MerchantState
from payloops.http.answers.accounts import CreatedApiKey, ListedApiKey
from payloops.http.dashboard.accounts import registered
from payloops.http.headers import idempotency_key
from payloops.http.json_body import read_object
from payloops.http.message import Reply, Request, reply_of
from payloops.http.openapi.operation import Operation, documented
from payloops.http.outcome import execute
from payloops.http.schemas.api_keys import CreateApiKeyBody, RollApiKeyBody
from payloops.http.schemas.base import checked
from payloops.http.services import Services
from payloops.projections.personal_data import seal_key_hash
from payloops.projections.views import as_uuid
from payloops.values import iso, new_id


@documented(
    Operation(
        summary="List API keys",
        description="Those that hold, and the last 1000 that do not.",
        answers={200: list[ListedApiKey]},
    )
)
async def list_api_keys(request: Request, services: Services) -> Reply:
    """``GET /api/api-keys``."""
    rows = await services.views.api_keys(request.caller.merchant_id)
    keys = [
        {
            "id": row["id"],
            "name": row["name"],
            "prefix": row["prefix"],
            "scopes": row["scopes"],
            "lastUsedAt": None if row["last_used_at"] is None else iso(row["last_used_at"]),
            "expiresAt": None if row["expires_at"] is None else iso(row["expires_at"]),
            "revokedAt": None if row["revoked_at"] is None else iso(row["revoked_at"]),
            "createdAt": iso(row["created_at"]),
        }
        for row in rows
    ]
    return Reply(200, orjson.dumps(keys))


@documented(
    Operation(
        summary="Create an API key",
        description="The key itself is shown this once.",
        body=CreateApiKeyBody,
        example={"name": "the shop's server", "scopes": ["orders:write", "refunds:write"], "mode": "test"},
        answers={201: CreatedApiKey},
        errors=("invalid_status",),
        idempotent=True,
    )
)
async def create_api_key(request: Request, services: Services) -> Reply:
    """``POST /api/api-keys``: the one time that the key itself is shown."""
    body = read_object(request)
    asked = checked(CreateApiKeyBody, body)
    now = services.clock.now()
    if asked.expires_at is not None and asked.expires_at <= now:
        raise InvalidInput.of(("expiresAt", "must be in the future"))
    merchant_id, key_id = request.caller.merchant_id, new_id()
    material = generate_api_key(live=asked.mode == "live")
    command = CreateApiKey(
        merchant_id=merchant_id,
        now=now,
        meta=request.meta(),
        key_id=key_id,
        public_id=material.public_id,
        prefix=material.prefix,
        name=asked.name,
        secret_hash=seal_key_hash(services.ring, merchant_id, key_id, await services.hashing.hash(material.full)),
        live=material.live,
        scopes=tuple(dict.fromkeys(asked.scopes or ())),
        expires_at=asked.expires_at,
    )

    done = await execute(
        request,
        services,
        services.merchants,
        merchant_id,
        command,
        respond=lambda state, _: _made(state, key_id, material),
        idempotency=idempotency_key(request, body),
    )
    return reply_of(done.response)


@documented(
    Operation(
        summary="Replace an API key",
        description="A key like it; the old one ends at once, or after the overlap.",
        body=RollApiKeyBody,
        example={"overlapSeconds": 3600},
        answers={201: CreatedApiKey},
        errors=("invalid_status",),
        idempotent=True,
    )
)
async def roll_api_key(request: Request, services: Services) -> Reply:
    """``POST /api/api-keys/:id/roll``: a key like it, and the end of the old one, at once or after the overlap."""
    merchant_id, old_id = request.caller.merchant_id, as_uuid(request.params[0])
    body = read_object(request)
    asked = checked(RollApiKeyBody, body)
    keys = registered(await services.handler.load(services.merchants, merchant_id)).api_keys
    old = None if old_id is None else keys.get(old_id)
    if old is None:
        raise NotFound("No such API key.")
    key_id, material = new_id(), generate_api_key(live=old.live)
    command = RollApiKey(
        merchant_id=merchant_id,
        now=services.clock.now(),
        meta=request.meta(),
        key_id=old.key_id,
        new_key_id=key_id,
        public_id=material.public_id,
        prefix=material.prefix,
        secret_hash=seal_key_hash(services.ring, merchant_id, key_id, await services.hashing.hash(material.full)),
        overlap_s=asked.overlap_seconds or 0,
    )
    done = await execute(
        request,
        services,
        services.merchants,
        merchant_id,
        command,
        respond=lambda state, _: _made(state, key_id, material),
        idempotency=idempotency_key(request, body),
    )
    if not command.overlap_s:
        services.key_cache.forget(old.public_id)
    return reply_of(done.response)


@documented(Operation(summary="Revoke an API key", answers={204: None}, idempotent=True))
async def revoke_api_key(request: Request, services: Services) -> Reply:
    """``DELETE /api/api-keys/:id``: from the next request on, every process refuses it."""
    key_id = as_uuid(request.params[0])
    if key_id is None:
        raise NotFound("No such API key.")
    command = RevokeApiKey(request.caller.merchant_id, services.clock.now(), request.meta(), key_id)
    done = await execute(
        request,
        services,
        services.merchants,
        request.caller.merchant_id,
        command,
        respond=lambda _state, _events: Response(204, b""),
        idempotency=idempotency_key(request, {}),
    )
    revoked = registered(done.state).api_keys.get(key_id)
    if revoked is not None:
        services.key_cache.forget(revoked.public_id)
    return reply_of(done.response)


def _made(state: MerchantState, key_id: UUID, material: ApiKeyMaterial) -> Response:
    """The one time that a key itself is shown."""
    made = registered(state).api_keys[key_id]
    return Response(201, orjson.dumps({"apiKey": _wire(made), "secret": material.full}), secret=True)


def _wire(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": list(key.scopes),
        "expiresAt": None if key.expires_at is None else iso(key.expires_at),
        "createdAt": iso(key.created_at),
    }
