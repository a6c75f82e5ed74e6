"""Commands on two streams at once: both take effect or neither, whatever others do in between."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import pytest

from payloops.commands import aggregates
from payloops.commands.handlers import CommandHandler, Companion, Guard
from payloops.commands.idempotency import ResponseKeeper
from payloops.commands.merchant import ChangeProfile
from payloops.commands.webhook_endpoint import CreateEndpoint, RemoveEndpoint
from payloops.db import Database
from payloops.errors import NotFound
from payloops.events.base import Sealed
from payloops.events.webhook_endpoint import default_endpoint_id
from payloops.events.webhook_endpoint_state import Active, Removed, WebhookEndpointState
from payloops.projections.webhook_endpoints import WEBHOOK_ENDPOINTS
from tests.integration.handlers.world import MERCHANT, RING, Process, key, process, respond, said_by
from tests.integration.store.interrupted import InterruptedStore
from tests.integration.store.opening import opened
from tests.replay import assert_replay_equals_tables

ENDPOINT: Final = aggregates.webhook_endpoints(WEBHOOK_ENDPOINTS)
FIRST, SECOND = "https://first.example/", "https://second.example/"


async def set_url(handler: CommandHandler, merchant_id: UUID, url: str | None, **how: Any) -> Any:
    """Profile and default endpoint, as the profile's call changes them."""
    endpoint_id = default_endpoint_id(merchant_id)
    endpoint: CreateEndpoint | RemoveEndpoint
    if url is None:
        endpoint = RemoveEndpoint(endpoint_id=endpoint_id, merchant_id=merchant_id, if_there=True, **said_by())
    else:
        endpoint = CreateEndpoint(
            endpoint_id=endpoint_id,
            merchant_id=merchant_id,
            url=url,
            event_types=(),
            secret=Sealed("v1.sealed"),
            is_default=True,
            **said_by(),
        )
    profile = ChangeProfile(merchant_id=merchant_id, webhook_url=url, clear_webhook_url=url is None, **said_by())
    also = [Companion(ENDPOINT, endpoint_id, endpoint)]
    return await handler.execute(MERCHANT, merchant_id, profile, also=also, **how)


async def urls(one: Process, merchant_id: UUID) -> tuple[str | None, str | None]:
    """The profile's and the endpoint's."""
    endpoint: WebhookEndpointState = await one.handler.load(ENDPOINT, default_endpoint_id(merchant_id))
    return (await one.account(merchant_id)).webhook_url, endpoint.url if isinstance(endpoint, Active) else None


@pytest.mark.parametrize("interrupted", ["the stream itself", "its companion"])
@pytest.mark.parametrize("asked", [FIRST, SECOND, None])
async def test_what_others_do_in_between_never_sets_them_apart(
    database_url: str, database: Database, interrupted: str, asked: str | None
) -> None:
    async with process(database_url) as other, opened(database_url) as store:
        merchant_id = (await other.merchant()).merchant_id
        await set_url(other.handler, merchant_id, FIRST)
        stream_id = merchant_id if interrupted == "the stream itself" else default_endpoint_id(merchant_id)

        async def interrupt() -> None:
            await set_url(other.handler, merchant_id, SECOND)

        slow = InterruptedStore(database, stream_id, interrupt)
        await slow.open(listen=False)
        try:
            await set_url(CommandHandler(slow, ResponseKeeper(RING)), merchant_id, asked)
        finally:
            await slow.close()
        assert not slow.interruptions
        assert await urls(Process(store), merchant_id) == (asked, asked), "who came last has the last word, on both"
    await assert_replay_equals_tables(database)


async def test_a_refused_companion_leaves_the_stream_as_it_was(database_url: str, database: Database) -> None:
    async with process(database_url) as one:
        guard = await one.merchant()
        other = await one.merchant()
        await set_url(one.handler, other.merchant_id, FIRST)
        theirs = default_endpoint_id(other.merchant_id)
        mine = ChangeProfile(merchant_id=guard.merchant_id, name="Changed", **said_by())
        stolen = RemoveEndpoint(endpoint_id=theirs, merchant_id=guard.merchant_id, **said_by())
        absent = RemoveEndpoint(endpoint_id=UUID(int=1), merchant_id=guard.merchant_id, **said_by())
        for command in (stolen, absent):
            with pytest.raises(NotFound, match="No such webhook endpoint"):
                await one.handler.execute(
                    MERCHANT,
                    guard.merchant_id,
                    mine,
                    guard=Guard(guard.merchant_id),
                    also=[Companion(ENDPOINT, command.endpoint_id, command)],
                )
        assert (await one.account(guard.merchant_id)).name == "Shop"
        assert (await urls(one, other.merchant_id)) == (FIRST, FIRST)
    await assert_replay_equals_tables(database)


async def test_both_and_the_answer_are_one_with_an_idempotency_key(database_url: str, database: Database) -> None:
    async with process(database_url) as one:
        merchant_id = (await one.merchant()).merchant_id
        first = await set_url(one.handler, merchant_id, FIRST, respond=respond, idempotency=key(merchant_id))
        await set_url(one.handler, merchant_id, None)
        again = await set_url(one.handler, merchant_id, FIRST, respond=respond, idempotency=key(merchant_id))
        assert again.response.replayed
        assert again.response.body == first.response.body
        endpoint = await one.handler.load(ENDPOINT, default_endpoint_id(merchant_id))
        assert isinstance(endpoint, Removed), "the second request was answered, not carried out"
    await assert_replay_equals_tables(database)
