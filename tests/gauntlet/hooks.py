"""A shop's webhook endpoints, each with a path of its own at a receiver in the test's process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.deliveries.receiver import Received, Receiver

if TYPE_CHECKING:
    from tests.gauntlet.shop import Shop


@dataclass(frozen=True)
class Hook:
    """An endpoint, and what came to it."""

    endpoint_id: str
    path: str
    secret: str
    receiver: Receiver

    def received(self) -> list[Received]:
        return self.receiver.of(self.path)


async def hook(shop: Shop, receiver: Receiver, path: str, *, takes_all: bool = True, **fields: Any) -> Hook:
    """A new endpoint of the shop. One that ``takes_all`` is looked at by the checker."""
    endpoint = await endpoint_at(shop, receiver.at(path), **fields)
    made = Hook(endpoint["id"], path, endpoint["secret"], receiver)
    receiver.expect(path, made.secret)
    if takes_all:
        shop.hooks.append(made)
    return made


async def endpoint_at(shop: Shop, url: str, **fields: Any) -> dict[str, Any]:
    """A new endpoint at that address. Raises AssertionError."""
    answer = await shop.dashboard.ask("POST", "/api/webhook-endpoints", {"url": url, **fields})
    if answer.status != 201:
        raise AssertionError(f"an endpoint at {url} was answered {answer.status}: {answer.raw!r}")
    made: dict[str, Any] = answer.body
    return made


async def deliveries_to(shop: Shop, endpoint_id: str) -> list[dict[str, Any]]:
    """Up to a hundred, newest first."""
    answer = await shop.dashboard.ask("GET", f"/api/webhooks?limit=100&endpointId={endpoint_id}")
    found: list[dict[str, Any]] = answer.body["data"]
    return found


async def attempts_of(shop: Shop, delivery_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await shop.dashboard.ask("GET", f"/api/webhooks/{delivery_id}/attempts")).body
    return found
