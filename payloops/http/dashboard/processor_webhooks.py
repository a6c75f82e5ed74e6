"""How a processor's events find us: arranged with each configuration, and told to the merchant in its answer.

The merchant either brings the webhook's secret, or we register our address in the account and keep the secret that the
processor answers with. What can't be done never keeps a configuration from being saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from payloops.commands.webhook_setup import EVENT_TYPES, HeldWebhook
from payloops.crypto import DecryptionError
from payloops.events.merchant_state import ProcessorConfig, Registered
from payloops.http.services import Services
from payloops.projections.personal_data import open_credentials

SECRET: Final = "webhookSecret"  # noqa: S105 - the name of a credential

_NAMING: Final = {"stripe": "secretKey", "razorpay": "keyId"}
"""The credential that tells one account from another."""
_BY_HAND: Final = {
    "stripe": "In Stripe's dashboard, under Developers, Webhooks, add an endpoint with this url and these events; then "
    "save its signing secret here as credentials.webhookSecret.",
    "razorpay": "In Razorpay's dashboard, under Account & Settings, Webhooks, add this url with these events and a "
    "secret of your own; then save that secret here as credentials.webhookSecret.",
}


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What is to be saved, and what the merchant is told of it."""

    credentials: Mapping[str, str] = field(repr=False)
    told: Mapping[str, Any]
    endpoint_id: str | None = None
    keeps_secret: bool = False
    """The secret is the one of before, or there was none."""
    leaves_behind: tuple[str, str] | None = field(default=None, repr=False)
    """The account's key and the endpoint that we registered in it, and that is not ours to use any more."""
    made: tuple[str, str] | None = field(default=None, repr=False)
    """The account's key and the endpoint that was registered in it just now: it goes again if nothing is saved."""


async def arrange(
    services: Services,
    merchant_id: UUID,
    processor: str,
    credentials: Mapping[str, str],
    before: ProcessorConfig | None,
) -> Arrangement:
    """See the module. It calls the processor, so no transaction may be open."""
    earlier = _opened(services, merchant_id, before)
    same_account = earlier.get(_NAMING[processor]) == credentials[_NAMING[processor]]
    held_secret = earlier.get(SECRET)
    url = webhook_url(services, processor, merchant_id)
    arranged: Arrangement
    if SECRET in credentials:
        arranged = Arrangement(
            credentials, _told("configured", url, "Events signed with this webhookSecret are taken.")
        )
    elif same_account and held_secret and (before is None or before.webhook_endpoint_id is None):
        told = _told("configured", url, "The webhookSecret that was saved before stays.")
        arranged = Arrangement({**credentials, SECRET: held_secret}, told)
    elif processor == "stripe":
        arranged = await _register(services, url, credentials, _held(before, earlier), same_account=same_account)
    else:
        arranged = Arrangement(credentials, _told("manual", url, _BY_HAND[processor], EVENT_TYPES[processor]))
    old_id, left, made = None if before is None else before.webhook_endpoint_id, None, None
    if old_id is not None and old_id != arranged.endpoint_id and "secretKey" in earlier:
        left = (earlier["secretKey"], old_id)
    if arranged.endpoint_id is not None and arranged.endpoint_id != old_id:
        made = (credentials["secretKey"], arranged.endpoint_id)
    keeps = held_secret is None or held_secret == arranged.credentials.get(SECRET)
    return replace(arranged, keeps_secret=keeps, leaves_behind=left, made=made)


async def tidy(services: Services, left_behind: tuple[str, str] | None) -> None:
    """Take away what a configuration that is saved, gone, or was not saved after all leaves in an account."""
    if left_behind is not None:
        await services.webhook_registrar.remove(*left_behind)


def left_by_removal(services: Services, state: Registered, processor: str) -> tuple[str, str] | None:
    """What the configuration will leave behind when it goes."""
    config = state.processors.get(processor)
    if config is None or config.webhook_endpoint_id is None:
        return None
    secret_key = _opened(services, state.merchant_id, config).get("secretKey")
    return None if secret_key is None else (secret_key, config.webhook_endpoint_id)


def webhook_url(services: Services, processor: str, merchant_id: UUID) -> str:
    """Where this merchant's events of a processor are taken in."""
    return f"{services.settings.public_url}/webhooks/{processor}/{merchant_id}"


def _held(before: ProcessorConfig | None, earlier: Mapping[str, str]) -> HeldWebhook | None:
    """The endpoint that was registered for the configuration of before, if we have its secret."""
    if before is None or before.webhook_endpoint_id is None or SECRET not in earlier:
        return None
    return HeldWebhook(before.webhook_endpoint_id, earlier[SECRET])


async def _register(
    services: Services, url: str, credentials: Mapping[str, str], held: HeldWebhook | None, *, same_account: bool
) -> Arrangement:
    """An account that has the held endpoint is the same account, also under another key.

    Where it can't be asked, what is held stays only if the key is the same.
    """
    events, kept = EVENT_TYPES["stripe"], held if same_account else None
    kept_credentials = credentials if kept is None else {**credentials, SECRET: kept.secret}
    kept_id = None if kept is None else kept.endpoint_id
    obstacle = services.webhook_registrar.obstacle(url)
    if obstacle is not None:
        return Arrangement(kept_credentials, _told("manual", url, f"{obstacle} {_BY_HAND['stripe']}", events), kept_id)
    outcome = await services.webhook_registrar.register(credentials["secretKey"], url, held)
    if isinstance(outcome, HeldWebhook):
        told = _told("registered", url, "This address is registered in the Stripe account.", events)
        return Arrangement({**credentials, SECRET: outcome.secret}, told, outcome.endpoint_id)
    return Arrangement(kept_credentials, _told("failed", url, outcome.reason, events), kept_id)


def _told(status: str, url: str, message: str, events: tuple[str, ...] = ()) -> Mapping[str, Any]:
    told: dict[str, Any] = {"status": status, "url": url, "message": message}
    return {**told, "events": list(events)} if events else told


def _opened(services: Services, merchant_id: UUID, config: ProcessorConfig | None) -> Mapping[str, str]:
    """The credentials of before; none when they can't be opened, which saving new ones is the cure for."""
    if config is None:
        return {}
    try:
        return open_credentials(services.ring, merchant_id, config.processor, config.credentials)
    except DecryptionError:
        return {}
