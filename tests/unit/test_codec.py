"""Events to bytes and back.

The files in tests/golden/events are what the log holds: once released they never change.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID, uuid4

import orjson
import pytest
from eventsourcing.persistence import JSONTranscoder, Mapper, StoredEvent
from hypothesis import given
from hypothesis import strategies as st

from payloops.events.base import Actor, Event, Meta, Sealed
from payloops.events.codec import EventMapper, OrjsonTranscoder, UnreadableEvent, state_types
from payloops.events.merchant import ApiKeyCreated, ApiKeyRolled, ProcessorConfigured
from payloops.events.order import (
    ExternalEventPublished,
    OrderCreated,
    PaymentActionRequired,
    PaymentStarted,
    RefundDiscovered,
    SyncFinished,
)
from payloops.events.registry import CLASS_BY_TOPIC, EARLIER_TOPICS, EVENT_CLASSES
from payloops.values import AMOUNT_MAX
from tests.spec import EVENT_DEFAULTS, MERCHANT_ID, event

GOLDEN = Path(__file__).parents[1] / "golden" / "events"
MAPPER = EventMapper()

RICH: dict[type[Event], dict[str, Any]] = {
    OrderCreated: {
        "amount": AMOUNT_MAX,
        "currency": "KWD",
        "customer_id": "c-1",
        "customer_email": Sealed("p1.c2VhbGVk"),
        "description": "Schuhe, größe 42 – «été» 靴 \U0001f45f",
        "metadata": {"cart": {"items": [1, 2.5, None, True]}, "note": 'quote " backslash \\ newline \n'},
        "return_url": "https://shop.example/back?o=1&x=%20",
        "cancel_url": "https://shop.example/cancel",
        "capture_method": "manual",
        "checkout_session_id": UUID(int=5),
    },
    RefundDiscovered: {"processor_refund_id": None, "counted_before": {str(UUID(int=6)): 400}},
    ExternalEventPublished: {"payload": {"session": {"id": str(UUID(int=5))}}, "sealed_payload": Sealed("p1.c2VhbGVk")},
    SyncFinished: {
        "answers": (
            {
                "about": "payment",
                "attempt": 1,
                "processor": "stripe",
                "processorTransactionId": "pi_1",
                "outcome": "declined",
                "code": "card_declined",
            },
        ),
        "changed": True,
    },
    PaymentActionRequired: {"processor_data": {"orderId": "order_1", "keyId": "rzp_test_1", "amount": 1000}},
    ApiKeyCreated: {"scopes": ("orders:read", "refunds:write"), "expires_at": datetime(2027, 1, 1, tzinfo=UTC)},
    ApiKeyRolled: {"expires_at": datetime(2027, 1, 8, tzinfo=UTC)},
    ProcessorConfigured: {
        "webhook_endpoint_id": "we_1",
        "retired_credentials": (Sealed("sealed-before"), Sealed("sealed-before-that")),
        "retired_until": (datetime(2027, 1, 2, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
    },
}
"""Fields that show more than the defaults of tests/spec.py; should one of those change, its old value belongs here."""
GOLDEN_META = Meta(
    command_id=UUID("0190a5b0-0000-7000-8000-0000000000c1"),
    actor=Actor("api_key", "0190a5b0-0000-7000-8000-0000000000c2"),
    correlation_id="req-1",
    causation_id="0190a5b0-0000-7000-8000-0000000000c3",
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)


def golden_event(event_class: type[Event]) -> Event:
    """The fixed event that the golden file of its class holds."""
    return replace(event(event_class, **RICH.get(event_class, {})), originator_version=7, meta=GOLDEN_META)


def golden_file(event_class: type[Event]) -> Path:
    return GOLDEN / f"{event_class.TOPIC}.json"


@pytest.mark.parametrize("event_class", EVENT_CLASSES, ids=lambda event_class: event_class.TOPIC)
class TestGolden:
    def test_the_event_is_written_as_it_always_was(self, event_class: type[Event]) -> None:
        stored = MAPPER.to_stored_event(golden_event(event_class))
        assert stored.topic == event_class.TOPIC
        assert stored.state == golden_file(event_class).read_bytes()

    def test_what_was_written_is_read_as_it_was_meant(self, event_class: type[Event]) -> None:
        meant = golden_event(event_class)
        state = golden_file(event_class).read_bytes()
        read = MAPPER.to_event(StoredEvent(meant.originator_id, 7, event_class.TOPIC, state))
        assert read == meant
        assert all(type(getattr(read, f.name)) is type(getattr(meant, f.name)) for f in fields(meant))


EARLIER: dict[str, dict[str, Any]] = {
    "merchant.processor_configured.v1": {
        "webhook_endpoint_id": None,
        "retired_credentials": (),
        "retired_until": (),
    },
    "order.created.v1": {"checkout_session_id": None},
    "order.refund_discovered.v1": {"processor_refund_id": "re_1", "counted_before": {}},
}
"""Per topic of an earlier version: what its golden file means now, where that is not what the latest one says."""


@pytest.mark.parametrize("topic", EARLIER_TOPICS)
def test_what_an_earlier_release_wrote_is_read_as_it_is_meant_now(topic: str) -> None:
    meant = replace(golden_event(EARLIER_TOPICS[topic]), **EARLIER[topic])
    state = (GOLDEN / f"{topic}.json").read_bytes()
    assert MAPPER.to_event(StoredEvent(meant.originator_id, 7, topic, state)) == meant


def test_every_version_of_every_event_has_its_golden_file() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {f"{topic}.json" for topic in CLASS_BY_TOPIC}


def test_topics_are_explicit_versioned_and_unique() -> None:
    topics = [event_class.TOPIC for event_class in EVENT_CLASSES]
    assert len(set(topics)) == len(topics) == len(CLASS_BY_TOPIC) - len(EARLIER_TOPICS)
    for event_class in EVENT_CLASSES:
        aggregate, name, version = event_class.TOPIC.split(".")
        assert aggregate in (
            "checkout_session",
            "order",
            "merchant",
            "webhook_endpoint",
            "webhook_delivery",
            "processor_event",
        )
        assert name.replace("_", "").isalpha()
        assert version == f"v{event_class.class_version}"
        assert event_class.__doc__


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001


@given(
    fields=st.fixed_dictionaries(
        {
            "originator_id": st.uuids(),
            "originator_version": st.integers(1, 2**31),
            "timestamp": times,
            "metadata": st.dictionaries(texts, values, max_size=4),
            "description": texts,
            "amount": st.integers(1, AMOUNT_MAX),
        }
    )
)
def test_what_is_written_is_read_back(fields: dict[str, Any]) -> None:
    happened = event(OrderCreated, **fields)
    assert MAPPER.to_event(MAPPER.to_stored_event(happened)) == happened


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    happened = event(OrderCreated, timestamp=datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=east))
    assert MAPPER.to_event(MAPPER.to_stored_event(happened)) == happened


@pytest.mark.parametrize("metadata", [{"n": 2**64}, {"s": "\ud800"}, {1: 2}, {"x": object()}])
def test_what_json_cannot_hold_is_not_written(metadata: dict[Any, Any]) -> None:
    with pytest.raises(TypeError):
        MAPPER.to_stored_event(event(OrderCreated, metadata=metadata))


class TestUnreadable:
    SECRET = "hunter2"

    @staticmethod
    def stored(state: bytes, topic: str = OrderCreated.TOPIC) -> StoredEvent:
        return StoredEvent(MERCHANT_ID, 3, topic, state)

    def state(self, **changes: Any) -> bytes:
        state = orjson.loads(golden_file(OrderCreated).read_bytes())
        return orjson.dumps({key: value for key, value in (state | changes).items() if value is not ...})

    @pytest.mark.parametrize(
        "changes",
        [
            {"amount": ...},
            {"one_more": 1},
            {"merchant_id": SECRET},
            {"merchant_id": 7},
            {"timestamp": SECRET},
            {"meta": SECRET},
            {"meta": {}},
            {"class_version": 3},
            {"class_version": 0},
            {"class_version": "1"},
        ],
    )
    def test_a_state_that_does_not_fit_is_named_without_its_contents(self, changes: dict[str, Any]) -> None:
        with pytest.raises(
            UnreadableEvent, match=rf"stream {MERCHANT_ID} version 3 topic order\.created\.v2"
        ) as caught:
            MAPPER.to_event(self.stored(self.state(**changes)))
        assert self.SECRET not in str(caught.value)
        assert caught.value.__suppress_context__

    @pytest.mark.parametrize("state", [b"", b"{", b"[]", b"7", b'"x"', b"null", b'{"a":1', b"\xff"])
    def test_bytes_that_are_no_state(self, state: bytes) -> None:
        with pytest.raises(UnreadableEvent):
            MAPPER.to_event(self.stored(state))

    @pytest.mark.parametrize(
        "topic", ["order.created.v3", "json", "os:system", "payloops.events.order:OrderCreated", ""]
    )
    def test_a_topic_is_looked_up_never_imported(self, topic: str) -> None:
        with pytest.raises(UnreadableEvent, match="unknown topic"):
            MAPPER.to_event(self.stored(self.state(), topic))


@dataclass(frozen=True)
class Shipped(Event):
    """The third version of an event that began as ``{"to": "street, town"}``."""

    TOPIC: ClassVar[str] = "test.shipped.v3"
    class_version: ClassVar[int] = 3

    street: str
    town: str
    parcels: int

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """An address has parts."""
        state["street"], state["town"] = state.pop("to").split(", ")

    @staticmethod
    def upcast_v2_v3(state: dict[str, Any]) -> None:
        """There can be several parcels."""
        state["parcels"] = 1


class TestUpcasting:
    MAPPER = EventMapper(dict.fromkeys(("test.shipped.v1", "test.shipped.v2", "test.shipped.v3"), Shipped))
    HEAD: ClassVar[dict[str, Any]] = {
        "timestamp": "2026-01-02T03:00:00Z",
        "meta": orjson.loads(orjson.dumps(GOLDEN_META)),
    }

    @pytest.mark.parametrize(
        ("topic", "state"),
        [
            ("test.shipped.v1", {"to": "Main St 1, Springfield"}),
            ("test.shipped.v2", {"class_version": 2, "street": "Main St 1", "town": "Springfield"}),
            ("test.shipped.v3", {"class_version": 3, "street": "Main St 1", "town": "Springfield", "parcels": 1}),
        ],
    )
    def test_each_version_that_was_ever_written_is_read_as_the_newest(self, topic: str, state: dict[str, Any]) -> None:
        read = self.MAPPER.to_event(StoredEvent(MERCHANT_ID, 1, topic, orjson.dumps(self.HEAD | state)))
        assert isinstance(read, Shipped)
        assert (read.street, read.town, read.parcels) == ("Main St 1", "Springfield", 1)
        assert (read.meta, read.timestamp) == (GOLDEN_META, datetime(2026, 1, 2, 3, tzinfo=UTC))

    def test_the_newest_is_written_with_its_version(self) -> None:
        shipped = Shipped(
            MERCHANT_ID, 1, datetime(2026, 1, 2, 3, tzinfo=UTC), GOLDEN_META, "Main St 1", "Springfield", 2
        )
        stored = self.MAPPER.to_stored_event(shipped)
        assert orjson.loads(stored.state)["class_version"] == 3
        assert self.MAPPER.to_event(stored) == shipped

    def test_an_earlier_state_that_its_upcaster_cannot_read_is_named(self) -> None:
        with pytest.raises(UnreadableEvent, match=r"test\.shipped\.v1: KeyError"):
            self.MAPPER.to_event(StoredEvent(MERCHANT_ID, 1, "test.shipped.v1", orjson.dumps(self.HEAD)))


class TestTheLibrary:
    def test_it_reads_our_log_by_its_own_name_for_it(self) -> None:
        stored = MAPPER.to_stored_event(event(PaymentStarted))
        assert MAPPER.to_domain_event(stored) == event(PaymentStarted)

    def test_its_own_mapper_knows_our_topics(self) -> None:
        stored = MAPPER.to_stored_event(event(PaymentStarted))
        read = Mapper[UUID](JSONTranscoder()).to_domain_event(stored)
        assert type(read) is PaymentStarted
        assert (read.originator_id, read.originator_version) == (stored.originator_id, 1)

    def test_a_stream_id_must_be_a_uuid(self) -> None:
        with pytest.raises(TypeError, match="non-UUID"):
            event(PaymentStarted, originator_id=str(uuid4()))


def test_our_transcoder_is_plain_json() -> None:
    transcoder = OrjsonTranscoder()
    assert transcoder.decode(transcoder.encode({"a": [1, None, "é"]})) == {"a": [1, None, "é"]}


def test_the_envelope_is_not_part_of_the_state() -> None:
    for event_class in EVENT_CLASSES:
        assert set(state_types(event_class)) == {"timestamp", "meta", *EVENT_DEFAULTS[event_class]}


def test_events_and_commands_load_no_driver_and_no_framework() -> None:
    """Pure also at run time: what they import imports none of it."""
    probe = """
import sys
import payloops.commands.merchant, payloops.commands.order_results, payloops.events.codec
print(*sorted({"aiohttp", "psycopg", "pydantic", "temporalio"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
