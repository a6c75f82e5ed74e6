"""``GET /metrics``: the counts and times of all processes in the Prometheus text format.

They say nothing of a single merchant, but all merchants' totals are nobody else's business: with METRICS_TOKEN set,
only its bearer is answered; without it, in production, only who asks from this very machine.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from payloops.crypto import same_text
from payloops.errors import NotAuthenticated, Unavailable
from payloops.http.auth import AUTHORIZATION_HEADER
from payloops.http.errors import no_path
from payloops.http.message import Request, Text
from payloops.http.openapi.operation import Media, Operation, documented
from payloops.http.services import Services
from payloops.telemetry.metrics import CONTENT_TYPE, METRICS

_BEARER: Final = "Bearer "


@documented(
    Operation(
        summary="Counts and times of this process, for Prometheus",
        description="With METRICS_TOKEN set: `Authorization: Bearer <METRICS_TOKEN>`.",
        answers={200: Media(CONTENT_TYPE, "The Prometheus text format.")},
        errors=("unauthorized", "not_found"),
    )
)
async def metrics(request: Request, services: Services) -> Text:
    """Raises NotAuthenticated, and NotFound for a stranger where no token is set."""
    token = services.settings.metrics_token
    if token:
        headers = request.headers.getall(AUTHORIZATION_HEADER, ())
        given = headers[0] if len(headers) == 1 else ""
        if not given.startswith(_BEARER) or not same_text(given.removeprefix(_BEARER), token):
            raise NotAuthenticated("Send METRICS_TOKEN as: Authorization: Bearer <token>.")
    elif services.settings.production and not _is_local(request):
        raise no_path()
    try:
        for part in ("projections", "outbox"):
            await services.checks[part]()
        total = await services.process_metrics.total()
    except Unavailable:
        # Without the database there is still what this process knows.
        total = METRICS
    return Text(total.text(), CONTENT_TYPE)


def _is_local(request: Request) -> bool:
    """A proxy of this machine is on loopback too; it says for whom it asks."""
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.peer).is_loopback
    except ValueError:
        return False
