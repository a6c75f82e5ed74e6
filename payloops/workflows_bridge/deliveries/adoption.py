"""Merchants who set their ``webhookUrl`` before there were endpoints: each gets its default endpoint, once."""

from __future__ import annotations

import logging
from typing import Final
from uuid import UUID

from payloops.commands.aggregates import Merchants, WebhookEndpoints
from payloops.commands.handlers import CommandHandler, Companion
from payloops.commands.merchant import ChangeProfile
from payloops.commands.webhook_endpoint import CreateEndpoint
from payloops.crypto import KeyRing
from payloops.crypto.webhook_secrets import generate_webhook_secret
from payloops.db import Database
from payloops.errors import VersionConflict
from payloops.events.base import Actor, Meta
from payloops.events.merchant_state import Registered
from payloops.events.webhook_endpoint import default_endpoint_id
from payloops.projections.personal_data import seal_webhook_secret
from payloops.projections.webhook_views import merchants_without_default_endpoint
from payloops.values import Clock, new_id, new_id_text

PAGE: Final = 200

_log = logging.getLogger(__name__)


class Adoption:
    """Run it when a release with endpoints starts; where all are adopted it is one query."""

    def __init__(
        self,
        database: Database,
        handler: CommandHandler,
        *,
        merchants: Merchants,
        endpoints: WebhookEndpoints,
        ring: KeyRing,
        clock: Clock,
    ) -> None:
        self._database = database
        self._handler = handler
        self._merchants = merchants
        self._endpoints = endpoints
        self._ring = ring
        self._clock = clock

    async def run(self, *, page: int = PAGE) -> int:
        """Adopt all, in order of their ids; the number of endpoints made. Raises Unavailable: run it again later."""
        count, after = 0, UUID(int=0)
        while found := await merchants_without_default_endpoint(self._database, after, limit=page):
            for merchant_id in found:
                count += await self._adopt(merchant_id)
            after = found[-1]
        if count:
            _log.info("%d merchants have their webhookUrl as an endpoint from now on", count)
        return count

    async def _adopt(self, merchant_id: UUID) -> int:
        """1 when the endpoint was made; 0 when the merchant was faster, who changed the URL or set it anew."""
        state = await self._handler.load(self._merchants, merchant_id)
        if not isinstance(state, Registered) or state.webhook_url is None:
            return 0
        endpoint_id, now = default_endpoint_id(merchant_id), self._clock.now()
        meta = Meta(new_id(), Actor("system", "webhook-adoption"), new_id_text())
        create = CreateEndpoint(
            endpoint_id=endpoint_id,
            merchant_id=merchant_id,
            now=now,
            meta=meta,
            url=state.webhook_url,
            event_types=(),
            secret=seal_webhook_secret(self._ring, merchant_id, endpoint_id, generate_webhook_secret()),
            is_default=True,
        )
        try:
            # The account stays as it is; the endpoint is made while it is at this very version.
            await self._handler.execute(
                self._merchants,
                merchant_id,
                ChangeProfile(merchant_id=merchant_id, now=now, meta=meta),
                expected_version=state.version,
                also=[Companion(self._endpoints, endpoint_id, create)],
            )
        except VersionConflict:
            return 0
        return 1
