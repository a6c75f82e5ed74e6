"""Bodies of the calls on webhook endpoints and deliveries, and where a webhook may be sent to."""

from __future__ import annotations

import ipaddress
import socket
import unicodedata
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, WithJsonSchema

from payloops.addresses import LOOPBACK, forbidden_reason
from payloops.config import Settings
from payloops.errors import InvalidInput
from payloops.events.webhook_event_types import CHOICES
from payloops.http.schemas.base import Body, Moment, WebUrl, refused, web_url_of_production

EVENT_TYPES_MAX: Final = 50


def _event_type(name: str) -> str:
    if name not in CHOICES:
        raise refused(f"is no event type; the types are {', '.join(CHOICES)}")
    return name


EventType = Annotated[str, AfterValidator(_event_type), WithJsonSchema({"type": "string", "enum": list(CHOICES)})]
EventTypes = Annotated[list[EventType], Field(max_length=EVENT_TYPES_MAX)]


class CreateEndpointBody(Body):
    """``POST /api/webhook-endpoints``. No event types, or an empty list, mean all."""

    url: WebUrl
    event_types: EventTypes | None = None
    enabled: bool | None = None


class ChangeEndpointBody(Body):
    """``PATCH /api/webhook-endpoints/:id``: what is not sent stays; an empty list of event types means all."""

    url: WebUrl | None = None
    event_types: EventTypes | None = None
    enabled: bool | None = None


class RetryDeliveriesBody(Body):
    """``POST /api/webhooks/retry``: deliveries that were made from ``from`` (inclusive) to ``to`` (exclusive)."""

    endpoint_id: str | None = None
    from_: Annotated[Moment, Field(alias="from")]
    to: Moment
    status: Literal["failed", "delivered"] | None = None


def event_types_of(names: list[str] | None) -> tuple[str, ...] | None:
    """Each name once, in the order in which they came."""
    return None if names is None else tuple(dict.fromkeys(names))


def require_webhook_url(url: str, param: str, settings: Settings) -> None:
    """Raises InvalidInput for a URL that nothing will be sent to: then its merchant learns it now, not from failures.

    Where a name leads is only seen when it is connected to (payloops/addresses.py).
    """
    if settings.production:
        web_url_of_production(url, param)
    problem = _problem(url, allow_loopback=settings.webhook_allow_loopback)
    if problem is not None:
        raise InvalidInput.of((param, problem))


def _problem(url: str, *, allow_loopback: bool) -> str | None:
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        return "must hold no user and no password"
    if "#" in url:
        return "must hold no fragment (#…)"
    if "\\" in url or parts.port == 0:
        return "is not a URL that can be sent to"
    # As resolvers read it: full-width digits and dots are digits and dots (UTS 46).
    host = unicodedata.normalize("NFKC", parts.hostname or "").replace("\u3002", ".").rstrip(".")
    if not host:
        return "must name a host"
    reason = _forbidden_host(host, allow_loopback=allow_loopback)
    return None if reason is None else f"must be an address that anybody can reach; this one is {reason}"


def _forbidden_host(host: str, *, allow_loopback: bool) -> str | None:
    address = _literal(host)
    if address is not None:
        return forbidden_reason(address, allow_loopback=allow_loopback)
    # RFC 6761, section 6.3: these names are loopback's, whatever a resolver says.
    is_local = host == "localhost" or host.endswith(".localhost")
    return LOOPBACK if is_local and not allow_loopback else None


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that the host is, also in the forms that resolvers read as one (decimal, octal, hex, short)."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeEncodeError):
        return None
