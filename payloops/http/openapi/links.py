"""Which calls go on from a reply (OpenAPI's links): those that take the id of what the reply shows.

For readers of the document, and for what tests the API by it: a call whose id is made up is only ever answered 404.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from payloops.http.openapi.document import Call

_ID: Final = "id"

LINKS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "POST /v1/orders": ((_ID, "/v1/orders/{id}"), (_ID, "/api/orders/{id}")),
    "POST /v1/orders/{id}/pay": (("orderId", "/v1/orders/{id}"),),
    "POST /v1/checkout/sessions": ((_ID, "/v1/checkout/sessions/{id}"), (_ID, "/checkout/{id}")),
    "POST /api/api-keys": (("apiKey/id", "/api/api-keys/{id}"),),
    "POST /api/webhook-endpoints": ((_ID, "/api/webhook-endpoints/{id}"),),
    "POST /api/webhook-endpoints/{id}/test": ((_ID, "/api/webhooks/{id}"),),
}
"""By call: where in its reply (a JSON pointer) the id stands, and the path below which it is taken."""


def links_of(call: Call, found: Iterable[Call]) -> dict[str, Any]:
    """The links of a call's successful reply, by the operation that they lead to."""
    made: dict[str, Any] = {}
    for pointer, path in LINKS.get(call.name, ()):
        for other in found:
            if other.path == path or other.path.startswith(f"{path}/"):
                made[other.id] = {"operationId": other.id, "parameters": {"id": f"$response.body#/{pointer}"}}
    return made
