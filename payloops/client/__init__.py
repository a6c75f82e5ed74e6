"""A client for PayLoops: ``PayLoops`` and ``AsyncPayLoops`` by API key, ``Dashboard`` and ``AsyncDashboard`` by token.

It needs httpx and pydantic and nothing else of this project, so that it can be published by itself. docs/client.md
shows how it is used; webhooks are verified by ``payloops.client.webhooks``.
"""

from payloops.client import webhooks
from payloops.client.async_client import AsyncDashboard, AsyncPayLoops
from payloops.client.core.call import UNSET
from payloops.client.core.exchange import USER_AGENT, VERSION
from payloops.client.core.retries import Retries
from payloops.client.errors import (
    ApiError,
    AuthenticationFailed,
    Conflict,
    ErrorDetail,
    IdempotencyMismatch,
    InvalidRequest,
    NoAnswer,
    NotFound,
    PayLoopsError,
    PermissionDenied,
    RateLimited,
    ServerError,
    SignatureInvalid,
    TimedOut,
    UnreadableAnswer,
)
from payloops.client.sync_client import Dashboard, PayLoops

__all__ = [
    "UNSET",
    "USER_AGENT",
    "VERSION",
    "ApiError",
    "AsyncDashboard",
    "AsyncPayLoops",
    "AuthenticationFailed",
    "Conflict",
    "Dashboard",
    "ErrorDetail",
    "IdempotencyMismatch",
    "InvalidRequest",
    "NoAnswer",
    "NotFound",
    "PayLoops",
    "PayLoopsError",
    "PermissionDenied",
    "RateLimited",
    "Retries",
    "ServerError",
    "SignatureInvalid",
    "TimedOut",
    "UnreadableAnswer",
    "webhooks",
]
