"""Webhook deliveries over HTTP: lists, attempts, sending again. The relay's part is played by its commands."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from payloops.http.dashboard.webhooks import RETRIES_MAX
from payloops.projections.webhook_deliveries import seal_response_body
from payloops.values import iso, new_id
from tests.databases import TestDatabase
from tests.integration.http.webhook_world import FIELDS, URL, Endpoint, Sender, outbox
from tests.integration.http.world import Api, Merchant

SAME = {"X-Correlation-ID": "the-same"}


@pytest.fixture
def sender(api: Api) -> Sender:
    return Sender(api)


@pytest.fixture
async def endpoint(sender: Sender, merchant: Merchant) -> Endpoint:
    return await sender.endpoint(merchant)


class TestLists:
    async def test_deliveries_page_by_number_newest_first(
        self, sender: Sender, endpoint: Endpoint, merchant: Merchant
    ) -> None:
        made = [str(await sender.scheduled(endpoint)) for _ in range(5)]
        page = await sender.page(merchant, "page=2&limit=2")
        assert [one["id"] for one in page["data"]] == [made[2], made[1]]
        assert page["pagination"] == {"page": 2, "limit": 2, "total": 5, "totalPages": 3}
        assert set(page["data"][0]) == FIELDS
        assert (await sender.page(merchant, "page=9"))["pagination"]["total"] == 5
        assert (await sender.page(merchant, "page=9"))["data"] == []

    async def test_those_of_one_moment_are_in_an_orders_own_sequence(
        self, api: Api, sender: Sender, endpoint: Endpoint, merchant: Merchant
    ) -> None:
        """Their ids are no order of theirs: twelve of them stand in sequence by chance once in 479 million times."""
        order = await api.new_order(merchant)
        order_id, at = UUID(order["id"]), sender.api.services.clock.now()
        for sequence in range(1, 13):
            await sender.scheduled(endpoint, order_id=order_id, created_at=at, sequence=sequence)
        detail = (await api.call("GET", f"/api/orders/{order_id}", token=merchant.token)).must(200)
        story = (await api.call("GET", f"/api/orders/{order_id}/timeline", token=merchant.token)).must(200)
        told = [entry["data"] for entry in story if entry["kind"] == "delivery"]
        assert [one["sequence"] for one in told] == list(range(1, 13))
        assert [one["id"] for one in detail["deliveries"]] == [one["id"] for one in reversed(told)]

    async def test_a_delivery_shows_how_it_stands(self, sender: Sender, endpoint: Endpoint, merchant: Merchant) -> None:
        order_id = new_id()
        made = await sender.scheduled(endpoint, order_id=order_id)
        (pending,) = (await sender.page(merchant))["data"]
        assert (pending["orderId"], pending["endpointId"]) == (str(order_id), str(endpoint.id))
        assert (pending["url"], pending["eventType"]) == (URL, "payment.captured")
        assert (pending["status"], pending["attempts"], pending["lastAttemptAt"]) == ("pending", 0, None)
        at = sender.api.services.clock.now()
        later = at + timedelta(minutes=1)
        await sender.attempted(
            endpoint, made, 1, now=at, status_code=503, error="it answered 503", verdict="retry", next_attempt_at=later
        )
        (retrying,) = (await sender.page(merchant))["data"]
        assert (retrying["status"], retrying["attempts"]) == ("retrying", 1)
        assert (retrying["lastAttemptAt"], retrying["nextRetryAt"]) == (iso(at), iso(later))
        await sender.attempted(endpoint, made, 2)
        (delivered,) = (await sender.page(merchant))["data"]
        assert (delivered["status"], delivered["attempts"], delivered["nextRetryAt"]) == ("delivered", 2, None)
        assert delivered["deliveredAt"] is not None

    async def test_they_filter_by_status_endpoint_and_order(
        self, sender: Sender, endpoint: Endpoint, merchant: Merchant
    ) -> None:
        other, order_id = await sender.endpoint(merchant), new_id()
        failed = await sender.failed(endpoint)
        first = await sender.scheduled(endpoint, order_id=order_id)
        second = await sender.scheduled(other, order_id=order_id)

        async def found(query: str) -> set[str]:
            page = await sender.page(merchant, query)
            assert page["pagination"]["total"] == len(page["data"])
            return {one["id"] for one in page["data"]}

        assert await found("status=failed") == {str(failed)}
        assert await found("status=delivered") == set()
        assert await found(f"endpointId={endpoint.id}") == {str(failed), str(first)}
        assert await found(f"endpointId={endpoint.id}&status=pending") == {str(first)}
        assert await found(f"orderId={order_id}") == {str(first), str(second)}
        assert await found(f"orderId={order_id}&endpointId={other.id}") == {str(second)}
        assert await found(f"orderId={order_id}&status=failed") == set()
        assert await found(f"orderId={new_id()}") == set()
        assert await found(f"endpointId={new_id()}") == set()

    @pytest.mark.parametrize(
        "query",
        (
            *("page=0", "page=x", "limit=0", "limit=101", "status=x", "status=PENDING"),
            *("endpointId=x", "orderId=1", "orderId=%00", "endpointId=a&endpointId=b"),
        ),
    )
    async def test_bad_queries_are_refused(self, api: Api, merchant: Merchant, query: str) -> None:
        answer = await api.call("GET", f"/api/webhooks?{query}", token=merchant.token)
        assert (answer.status, answer.code) == (400, "validation_error")
        assert answer.json["param"] == query.partition("=")[0]

    async def test_another_merchants_deliveries_are_in_no_list(
        self, api: Api, sender: Sender, endpoint: Endpoint
    ) -> None:
        order_id = new_id()
        await sender.scheduled(endpoint, order_id=order_id)
        other = await api.merchant()
        for query in ("", f"endpointId={endpoint.id}", f"orderId={order_id}", "status=pending"):
            page = await sender.page(other, query)
            assert (page["data"], page["pagination"]["total"]) == ([], 0)


class TestAttempts:
    async def test_attempts_are_listed_newest_first_with_what_came_back(
        self, api: Api, sender: Sender, endpoint: Endpoint, merchant: Merchant, test_database: TestDatabase
    ) -> None:
        made = await sender.scheduled(endpoint)
        key = await api.services.personal.key_for(merchant.id)
        answer = "<h1>Jane Doe, 42 Elm Street\0</h1>"
        at = api.services.clock.now()
        await sender.attempted(
            endpoint,
            made,
            1,
            now=at,
            status_code=500,
            error="it answered 500",
            response_body=seal_response_body(key, made, 1, answer),
            verdict="retry",
            next_attempt_at=at + timedelta(minutes=1),
        )
        await sender.attempted(endpoint, made, 2)
        path = f"/api/webhooks/{made}/attempts"
        last, first = (await api.call("GET", path, token=merchant.token)).must(200)
        assert first == {
            "number": 1,
            "startedAt": iso(at),
            "durationMs": 7,
            "statusCode": 500,
            "error": "it answered 500",
            "responseBody": answer,
        }
        assert (last["number"], last["statusCode"], last["responseBody"]) == (2, 200, None)
        with psycopg.connect(test_database.app_dsn) as connection:
            rows = connection.execute("SELECT convert_from(state, 'UTF8') FROM stored_events").fetchall()
            rows += connection.execute("SELECT webhook_attempts::text FROM webhook_attempts").fetchall()
        assert "Jane Doe" not in str(rows)
        await api.services.personal.destroy(merchant.id)
        masked = (await api.call("GET", path, token=merchant.token)).must(200)
        assert [one["responseBody"] for one in masked] == [None, None]
        assert seal_response_body(await api.services.personal.key_for(merchant.id), made, 3, answer) is None

    async def test_a_delivery_without_attempts_has_an_empty_list(
        self, api: Api, sender: Sender, endpoint: Endpoint, merchant: Merchant
    ) -> None:
        made = await sender.scheduled(endpoint)
        assert (await api.call("GET", f"/api/webhooks/{made}/attempts", token=merchant.token)).must(200) == []


class TestRetry:
    @pytest.mark.parametrize("verdict", ["failed", "delivered"])
    async def test_one_that_ended_begins_anew(
        self, api: Api, sender: Sender, merchant: Merchant, test_database: TestDatabase, verdict: str
    ) -> None:
        endpoint = await sender.endpoint(merchant)
        made = await sender.scheduled(endpoint)
        await sender.attempted(endpoint, made, 1, verdict=verdict)
        retried = (await api.call("POST", f"/api/webhooks/{made}/retry", token=merchant.token)).must(202)
        assert set(retried) == FIELDS
        assert (retried["id"], retried["status"], retried["attempts"]) == (str(made), "pending", 1)
        lane = f"deliver:{merchant.id}:{endpoint.id}"
        assert outbox(test_database) == [
            ("start", f"webhook-{made}", lane),
            ("start", f"webhook-{made}-2", lane),
        ]

    async def test_one_under_way_is_told_to_go_on_now(
        self, api: Api, sender: Sender, endpoint: Endpoint, merchant: Merchant, test_database: TestDatabase
    ) -> None:
        made = await sender.scheduled(endpoint)
        (await api.call("POST", f"/api/webhooks/{made}/retry", token=merchant.token)).must(202)
        lane = f"deliver:{merchant.id}:{endpoint.id}"
        assert outbox(test_database) == [("start", f"webhook-{made}", lane), ("signal", f"webhook-{made}", lane)]

    async def test_the_same_request_again_sends_once(
        self, api: Api, sender: Sender, endpoint: Endpoint, merchant: Merchant
    ) -> None:
        made = await sender.failed(endpoint)
        answers = await asyncio.gather(
            *(
                api.call(
                    "POST",
                    f"/api/webhooks/{made}/retry",
                    token=merchant.token,
                    headers={"Idempotency-Key": "once"},
                )
                for _ in range(5)
            )
        )
        assert {answer.status for answer in answers} <= {202, 409}
        assert (await sender.state(made)).facts.round == 2
        headers = {"Idempotency-Key": "once"}
        (
            await api.call("PATCH", f"/api/webhook-endpoints/{endpoint.id}", {"enabled": False}, token=merchant.token)
        ).must(200)
        again = await api.call("POST", f"/api/webhooks/{made}/retry", token=merchant.token, headers=headers)
        assert (again.status, again.headers["Idempotent-Replayed"]) == (202, "true")

    async def test_nothing_is_sent_to_an_endpoint_that_takes_nothing(
        self, api: Api, sender: Sender, endpoint: Endpoint, merchant: Merchant
    ) -> None:
        made = await sender.failed(endpoint)
        path = f"/api/webhook-endpoints/{endpoint.id}"
        (await api.call("PATCH", path, {"enabled": False}, token=merchant.token)).must(200)
        disabled = await api.call("POST", f"/api/webhooks/{made}/retry", token=merchant.token)
        assert (disabled.status, disabled.code, "disabled" in disabled.json["message"]) == (400, "invalid_status", True)
        (await api.call("DELETE", path, token=merchant.token)).must(204)
        removed = await api.call("POST", f"/api/webhooks/{made}/retry", token=merchant.token)
        assert (removed.status, removed.code, "removed" in removed.json["message"]) == (400, "invalid_status", True)
        assert (await sender.state(made)).facts.round == 1

    async def test_another_merchants_delivery_is_as_absent_as_none(
        self, api: Api, sender: Sender, endpoint: Endpoint
    ) -> None:
        made = await sender.failed(endpoint)
        other = await api.merchant()
        await sender.endpoint(other)
        for method, suffix in (("GET", "/attempts"), ("POST", "/retry")):
            answers = [
                await api.call(method, f"/api/webhooks/{some}{suffix}", token=other.token, headers=SAME)
                for some in (made, endpoint.id, new_id(), "x")
            ]
            assert {answer.status for answer in answers} == {404}
            assert len({answer.raw for answer in answers}) == 1
        assert (await sender.state(made)).facts.round == 1


class TestRetryMany:
    async def test_what_failed_in_that_time_is_sent_anew(
        self, api: Api, sender: Sender, endpoint: Endpoint, merchant: Merchant
    ) -> None:
        now = api.services.clock.now()
        hours = [await sender.failed(endpoint, created_at=now - timedelta(hours=ago)) for ago in (5, 4, 3, 2)]
        delivered = await sender.scheduled(endpoint, created_at=now - timedelta(hours=3))
        await sender.attempted(endpoint, delivered, 1, now=now - timedelta(hours=3))
        other = await sender.failed(await sender.endpoint(merchant), created_at=now - timedelta(hours=3))
        body = {"from": iso(now - timedelta(hours=4)), "to": iso(now - timedelta(hours=2)), "endpointId": endpoint.id}
        answer = await api.call("POST", "/api/webhooks/retry", body, token=merchant.token)
        assert answer.must(202) == {"retried": 2, "hasMore": False}
        rounds = {one: (await sender.state(one)).facts.round for one in (*hours, delivered, other)}
        assert rounds == {hours[0]: 1, hours[1]: 2, hours[2]: 2, hours[3]: 1, delivered: 1, other: 1}
        del body["endpointId"]
        again = await api.call("POST", "/api/webhooks/retry", body, token=merchant.token)
        assert again.must(202) == {"retried": 1, "hasMore": False}
        body["status"] = "delivered"
        sent = await api.call("POST", "/api/webhooks/retry", body, token=merchant.token)
        assert sent.must(202) == {"retried": 1, "hasMore": False}

    async def test_a_call_is_bounded_and_the_next_one_goes_on(
        self, api: Api, sender: Sender, endpoint: Endpoint, merchant: Merchant
    ) -> None:
        past = api.services.clock.now() - timedelta(minutes=5)
        made = await asyncio.gather(*(sender.failed(endpoint, created_at=past) for _ in range(RETRIES_MAX + 3)))
        body = {"from": iso(past), "to": iso(past + timedelta(seconds=1))}
        first = (await api.call("POST", "/api/webhooks/retry", body, token=merchant.token)).must(202)
        assert first == {"retried": RETRIES_MAX, "hasMore": True}
        sent = [one for one in made if (await sender.state(one)).facts.round == 2]
        assert len(sent) == RETRIES_MAX
        await sender.given_up(endpoint, sent[0])
        second = (await api.call("POST", "/api/webhooks/retry", body, token=merchant.token)).must(202)
        assert second == {"retried": 3, "hasMore": False}, "what failed again meanwhile is not met a second time"

    async def test_the_same_request_again_sends_once(
        self, api: Api, sender: Sender, endpoint: Endpoint, merchant: Merchant
    ) -> None:
        now = api.services.clock.now()
        made = await sender.failed(endpoint, created_at=now - timedelta(minutes=1))
        body = {"from": iso(now - timedelta(hours=1)), "to": iso(now)}
        headers = {"Idempotency-Key": "bulk"}
        answers = []
        for _ in range(2):
            answers.append(await api.call("POST", "/api/webhooks/retry", body, token=merchant.token, headers=headers))
            await sender.given_up(endpoint, made)
        assert [answer.must(202) for answer in answers] == [{"retried": 1, "hasMore": False}] * 2
        assert answers[1].headers["Idempotent-Replayed"] == "true"
        assert (await sender.state(made)).facts.round == 2

    async def test_others_deliveries_and_dead_endpoints_are_left_out(
        self, api: Api, sender: Sender, endpoint: Endpoint, merchant: Merchant
    ) -> None:
        past = api.services.clock.now() - timedelta(minutes=1)
        other = await api.merchant()
        theirs = await sender.failed(await sender.endpoint(other), created_at=past)
        await sender.failed(endpoint, created_at=past)
        (await api.call("DELETE", f"/api/webhook-endpoints/{endpoint.id}", token=merchant.token)).must(204)
        body = {"from": iso(past), "to": iso(past + timedelta(minutes=2))}
        answer = await api.call("POST", "/api/webhooks/retry", body, token=merchant.token)
        assert answer.must(202) == {"retried": 0, "hasMore": False}
        assert (await sender.state(theirs)).facts.round == 1
        for some in (str(endpoint.id), str((await sender.state(theirs)).facts.endpoint_id), str(new_id()), "x"):
            absent = await api.call("POST", "/api/webhooks/retry", body | {"endpointId": some}, token=merchant.token)
            assert (absent.status, absent.json["message"]) == (404, "No such webhook endpoint.")

    @pytest.mark.parametrize(
        ("fields", "param"),
        (
            ({"from": None}, "from"),
            ({"to": "soon"}, "to"),
            ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "from"),
            ({"status": "pending"}, "status"),
            ({"endpointId": 5}, "endpointId"),
        ),
    )
    async def test_bad_bodies_are_refused(
        self, api: Api, merchant: Merchant, fields: dict[str, Any], param: str
    ) -> None:
        body = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"} | fields
        answer = await api.call("POST", "/api/webhooks/retry", body, token=merchant.token)
        assert (answer.status, answer.json["param"]) == (400, param)
