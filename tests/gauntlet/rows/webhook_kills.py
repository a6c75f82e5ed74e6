"""K11: processes that die amid deliveries, on each engine; the checker looks at every webhook.

On the embedded engine the relay sends, on Temporal the worker. Both are killed, and the API, until so many webhooks
came. Each (event, endpoint) must have come at least once, with the same id and bytes, and each order's in sequence.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import psycopg

from tests.deliveries import receiver as r
from tests.deliveries.receiver import receiving
from tests.gauntlet.checker import check
from tests.gauntlet.hooks import hook
from tests.gauntlet.rows.crashes import kill_and_wait
from tests.gauntlet.rows.temporal import dev_server, on_temporal
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import Service, running
from tests.gauntlet.shop import Shop, opened, under_load
from tests.gauntlet.waiting import until, until_found

KILLS_AFTER: Final = (3, 60)
HOOKS: Final = 2
RECEIVER_TAKES_S: Final = 0.02
WEBHOOKS_WITHIN_S: Final = 120.0
ENDED_WITHIN_S: Final = 300.0
"""Temporal finds out only by a timeout that an activity died with its worker."""

_LEFT: Final = """
SELECT (SELECT count(*) FROM webhook_deliveries WHERE status NOT IN ('delivered', 'failed'))
    + (SELECT count(*) FROM outbox WHERE kind IN ('publish', 'start') AND parked_at IS NULL)
    + (SELECT count(*) FROM orders WHERE status = 'processing')
    + (SELECT count(*) FROM refunds WHERE status = 'pending')
"""


async def k11(run: Run) -> None:
    """The API and the relay, which sends."""
    with running() as service:
        await _kills_amid_deliveries(service, ("relay", "api", "relay"), run)


async def k11_on_temporal(run: Run) -> None:
    """The API, the relay, which starts the workflows, and the worker, which sends."""
    victims = ("worker", "relay", "api") if run.loud else ("worker",)
    with dev_server() as temporal, on_temporal(temporal.server.address) as service:
        await _kills_amid_deliveries(service, victims, run)


async def _kills_amid_deliveries(service: Service, victims: Sequence[str], run: Run) -> None:
    await service.ready()
    async with receiving() as receiver, opened(service) as shop:
        for number in range(HOOKS):
            await hook(shop, receiver, f"hook{number}")
            receiver.behave(f"hook{number}", then=r.slow(RECEIVER_TAKES_S))
        for name in itertools.cycle(victims):
            async with under_load(shop, run.rng):
                goal = len(receiver.received) + run.rng.randint(*KILLS_AFTER)
                enough = f"{goal} webhooks"
                await until(lambda goal=goal: len(receiver.received) >= goal, WEBHOOKS_WITHIN_S, enough)  # type: ignore[misc]
                await kill_and_wait(service, shop, name, run)
            await until_found(lambda: _all_ended(shop), ENDED_WITHIN_S, "every delivery ends")
            verdict = await check(shop)
            run.say(f"{name} killed, {len(receiver.received)} webhooks: {verdict}")
            if name == victims[-1] and len(receiver.received) >= run.times:
                break
        twice = len(receiver.received) - len({(one.path, one.id) for one in receiver.received})
        run.say(f"{len(receiver.received)} requests, {twice} of them repeats")


async def _all_ended(shop: Shop) -> bool:
    """Nothing is left to be told, whichever engine has it in hand."""
    async with await psycopg.AsyncConnection.connect(shop.service.app_dsn, autocommit=True) as connection:
        row = await (await connection.execute(_LEFT)).fetchone()
    return row is not None and row[0] == 0


ROWS: Final = (
    Row("K11", "kill -9 of the API and the relay amid deliveries", "own", smoke=40, full=1_000, own=k11),
    Row(
        "K11T",
        "kill -9 of the API, the relay and the worker amid deliveries on Temporal",
        "own",
        smoke=20,
        full=1_000,
        own=k11_on_temporal,
    ),
)
