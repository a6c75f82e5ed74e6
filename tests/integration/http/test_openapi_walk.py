"""Each example of the API's description is sent, and must be accepted; each error that one request can cause is caused.

What takes a state, a limit or a race: ``test_openapi_states.py``. What any call can give: ``test_openapi_anywhere.py``.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from payloops.http.checkout.forms import FORM_BYTES_MAX
from payloops.http.connection import BODY_BYTES_MAX, WEBHOOK_BYTES_MAX
from payloops.http.openapi.document import Call
from payloops.http.openapi.errors import status_of_code
from payloops.http.query import Query
from payloops.values import new_id
from tests.databases import TestDatabase
from tests.inbox.signing import razorpay_header, stripe_header
from tests.integration.http.belongings import WEBHOOK_SECRET
from tests.integration.http.test_openapi_states import CAUSED as CAUSED_BY_STATES
from tests.integration.http.walk import (
    CALLS,
    FORM,
    ORDER_STATES,
    RAZORPAY_SECRET,
    Walk,
    accepted,
    codes_of,
    is_about_money,
    set_out,
    set_up,
    signed,
    with_token_to_spend,
)
from tests.integration.http.world import Answer, Api


async def test_every_example_is_accepted(api: Api, test_database: TestDatabase) -> None:
    walk = await set_out(api, test_database)
    refused: list[str] = []
    for call in CALLS:
        await with_token_to_spend(walk, call)
        answer = await accepted(walk, call)
        if answer.status not in call.operation.answers or answer.status >= 400:
            refused.append(f"{call.name}: {answer.status} {answer.raw[:200]!r}")
    assert not refused, "\n".join(refused)


async def test_what_a_query_is_asked_for_is_described(api: Api, test_database: TestDatabase, monkeypatch: Any) -> None:
    asked: set[str] = set()

    class Watched(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.add(name)
            return super().get(name, default)

    initialise = Query.__init__

    def watch(self: Query, request: Any) -> None:
        initialise(self, request)
        self._values = Watched(self._values)

    monkeypatch.setattr(Query, "__init__", watch)
    walk = await set_out(api, test_database)
    for call in CALLS:
        if call.route.method == "GET":
            asked.clear()
            await walk.send(call)
            assert asked == {parameter.name for parameter in call.operation.query}, call.name


Cause = Callable[[Walk, Call], Awaitable[Answer]]


async def _wrong(walk: Walk, call: Call) -> Answer:
    operation = call.operation
    if operation.form is not None:
        return await walk.send(call, data=b"attempt=none", headers=FORM)
    if operation.body is not None:
        return await walk.send(call, body=[])
    if operation.query:
        return await walk.send(call, query="?limit=1&limit=2")
    return await walk.send(call, headers={"Idempotency-Key": "\u00fc"})


async def _other_body(walk: Walk, call: Call) -> Answer:
    key = {"Idempotency-Key": str(new_id())}
    last = call.path.rpartition("/")[2]
    ids = {"id": await walk.order(ORDER_STATES[last])} if is_about_money(call) else {}
    first = await walk.send(call, body=call.operation.example, headers=key, ids=ids)
    assert first.status < 400, f"{call.name}: {first.raw!r}"
    return await walk.send(call, body={**call.operation.example, "another": 1}, headers=key, ids=ids)


async def _too_large(walk: Walk, call: Call) -> Answer:
    size = WEBHOOK_BYTES_MAX if call.operation.raw else BODY_BYTES_MAX
    size = FORM_BYTES_MAX if call.operation.form is not None else size
    headers = FORM if call.operation.form is not None else {}
    return await walk.send(call, data=io.BytesIO(b" " * (size + 1)), headers=headers)


async def _broken(walk: Walk, call: Call) -> Answer:
    if not call.operation.raw:
        return await walk.send(call, data=b"{")
    # Signed, and for this merchant, with a name that is there twice.
    data = signed(walk, call, call.operation.example)["data"].replace(b"{", b'{"twice":1,"twice":1,', 1)
    headers = stripe_header(WEBHOOK_SECRET, data) if "stripe" in call.path else razorpay_header(RAZORPAY_SECRET, data)
    return await walk.send(call, data=data, headers=headers)


async def _wrong_type(walk: Walk, call: Call) -> Answer:
    headers = {"Content-Type": "text/plain", "Stripe-Signature": "t", "X-Razorpay-Signature": "s"}
    return await walk.send(call, data=b"{}", headers={**headers, "Content-Encoding": "br"})


async def _absent(walk: Walk, call: Call) -> Answer:
    ids = dict.fromkeys(walk.ids(call), str(new_id()))
    if ids:
        return await accepted(walk, call, ids=ids)
    if call.route.path.endswith(":processor"):
        return await _twice(walk, call)
    return await walk.send(call, body={**call.operation.example, "endpointId": str(new_id())})


async def _twice(walk: Walk, call: Call) -> Answer:
    """What the first request took away is not there for the second; then it is put back."""
    processor = call.path.rpartition("/")[2]
    remove = next(each for each in CALLS if each.name == f"DELETE {call.path}")
    await walk.send(remove)
    try:
        return await walk.send(call, body=call.operation.example)
    finally:
        await set_up(walk.api, walk.merchant, processor)


async def _forbidden(walk: Walk, call: Call) -> Answer:
    if call.route.access == "public":
        return await accepted(walk, call, headers={"Sec-Fetch-Site": "cross-site"})
    return await walk.send(call, credential="other")


async def _card(walk: Walk, call: Call) -> Answer:
    if call.operation.form is not None:
        return await walk.send(call, data=b"attempt=1&processor=stripe&token=pm_4242424242424242", headers=FORM)
    return await walk.send(call, body={"note": "4242 4242 4242 4242"})


CAUSES: Final[Mapping[str, Cause]] = {
    "unauthorized": lambda walk, call: walk.send(call, credential="none"),
    "invalid_api_key": lambda walk, call: walk.send(call, credential="bad"),
    "invalid_token": lambda walk, call: walk.send(call, credential="bad"),
    "forbidden": _forbidden,
    "not_found": _absent,
    "invalid_json": _broken,
    "payload_too_large": _too_large,
    "unsupported_media_type": _wrong_type,
    "validation_error": _wrong,
    "idempotency_mismatch": _other_body,
    "raw_card_rejected": _card,
    "version_conflict": lambda walk, call: accepted(walk, call, headers={"If-Match": '"999"'}),
    "missing_signature": lambda walk, call: walk.send(call, body={}),
    "invalid_signature": lambda walk, call: walk.send(
        call, body={}, headers={"Stripe-Signature": "t=1,v1=00", "X-Razorpay-Signature": "00"}
    ),
}


def test_every_code_is_caused_somewhere() -> None:
    described = {code for call in CALLS for code in codes_of(call)}
    assert described == set(CAUSES) | CAUSED_BY_STATES


async def test_every_error_that_is_described_can_be_caused(api: Api, test_database: TestDatabase) -> None:
    walk = await set_out(api, test_database)
    register = next(call for call in CALLS if call.path == "/api/auth/register")
    (await accepted(walk, register)).must(201)
    wrong: list[str] = []
    for call in CALLS:
        if call.path == "/metrics":
            continue  # What it refuses depends on settings: test_openapi_states.
        for code in codes_of(call):
            if code in CAUSED_BY_STATES or (code == "version_conflict" and not call.operation.conditional):
                continue
            answer = await CAUSES[code](walk, call)
            found = code if call.operation.for_people else answer.json.get("code") if answer.raw else None
            if (answer.status, found) != (status_of_code(code), code):
                wrong.append(f"{call.name} {code}: {answer.status} {answer.raw[:160]!r}")
    assert not wrong, "\n".join(wrong)
