"""Bodies of the calls on API keys."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from payloops.http.schemas.base import Body, Moment

Scope = Literal["orders:read", "orders:write", "refunds:write", "checkout:read", "checkout:write"]


OVERLAP_S_MAX: Final = 604_800
"""A week."""


class RollApiKeyBody(Body):
    """``POST /api/api-keys/:id/roll``. Without an overlap the old key is refused at once."""

    overlap_seconds: Annotated[int, Field(ge=0, le=OVERLAP_S_MAX)] | None = None


class CreateApiKeyBody(Body):
    """``POST /api/api-keys``. No scopes, or an empty list, mean all."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    expires_at: Moment | None = None
    scopes: Annotated[list[Scope], Field(max_length=20)] | None = None
    mode: Literal["test", "live"] | None = None
