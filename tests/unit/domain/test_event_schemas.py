"""The JSON Schemas of events: complete, true of what is stored, and the same as in docs/events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest

from payloops.cli import schemas as schemas_command
from payloops.cli.commands import run
from payloops.events import schemas
from payloops.events.base import Event, Sealed
from payloops.events.codec import EventMapper
from payloops.events.merchant import ApiKeyCreated, MerchantRegistered, ProcessorConfigured
from payloops.events.order import ExternalEventPublished, OrderCancelled, OrderCreated, PaymentActionRequired
from payloops.events.processor_event import ProcessorEventReceived
from payloops.events.registry import EVENT_CLASSES
from tests.spec import event

DOCS = Path(__file__).parents[3] / "docs" / "events"


def stored(happened: Event) -> Any:
    return json.loads(EventMapper().to_stored_event(happened).state)


@pytest.mark.parametrize("event_class", EVENT_CLASSES, ids=lambda event_class: event_class.TOPIC)
def test_a_stored_event_has_the_shape_that_its_schema_says(event_class: type[Event]) -> None:
    validator = jsonschema.Draft202012Validator(
        schemas.schema(event_class), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    validator.check_schema(schemas.schema(event_class))
    state = stored(event(event_class))
    validator.validate(state)
    for name in state:
        assert not validator.is_valid({key: value for key, value in state.items() if key != name}), name
    assert not validator.is_valid(state | {"surplus": 1})


def test_the_docs_have_not_drifted() -> None:
    assert schemas.check(DOCS) == [], "run: payloops schemas"


def test_titles_and_descriptions_are_the_classes_own() -> None:
    made = schemas.schema(OrderCancelled)
    assert made["title"] == "OrderCancelled"
    assert made["description"].startswith("No money will be taken.")
    assert made["properties"]["processor_transaction_id"]["description"].startswith("The payment that the processor")
    assert made["$id"] == "urn:payloops:event:order.cancelled.v1"


@pytest.mark.parametrize(
    ("event_class", "sealed"),
    [
        (MerchantRegistered, {"email", "password_hash"}),
        (ApiKeyCreated, {"secret_hash"}),
        (ProcessorConfigured, {"credentials", "retired_credentials"}),
        (ProcessorEventReceived, {"body"}),
        (OrderCreated, {"customer_email"}),
        (PaymentActionRequired, {"client_secret", "redirect_url"}),
        (ExternalEventPublished, {"sealed_payload"}),
    ],
)
def test_sealed_fields_are_marked_as_encrypted(event_class: type[Event], sealed: set[str]) -> None:
    properties = schemas.schema(event_class)["properties"]
    assert {name for name, part in properties.items() if "x-encrypted" in json.dumps(part)} == sealed


@dataclass(frozen=True)
class Renamed(Event):
    """A second version."""

    TOPIC: ClassVar[str] = "test.renamed.v2"
    class_version: ClassVar[int] = 2

    note: Sealed

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        state["note"] = state.pop("remark")


def test_a_later_version_says_which_it_is() -> None:
    made = schemas.schema(Renamed)
    assert made["properties"]["class_version"] == {"const": 2, "type": "integer"}
    assert "class_version" in made["required"]


@pytest.fixture
def _no_earlier_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "EARLIER_TOPICS", {})


@pytest.mark.usefixtures("_no_earlier_versions")
def test_write_brings_a_directory_up_to_date_and_check_names_what_drifted(tmp_path: Path) -> None:
    directory = tmp_path / "events"
    every = sorted(schemas.documents())
    assert schemas.check(directory) == every
    assert schemas.write(directory) == every
    assert schemas.write(directory) == schemas.check(directory) == []
    (directory / every[0]).write_text("{}")
    (directory / every[1]).unlink()
    (directory / "order.unheard_of.v1.json").write_text("{}")
    drifted = sorted([*every[:2], "order.unheard_of.v1.json"])
    assert schemas.check(directory) == schemas.write(directory) == drifted
    assert sorted(path.name for path in directory.iterdir()) == every


def test_the_file_of_an_earlier_version_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "EARLIER_TOPICS", {"test.renamed.v1": Renamed})
    schemas.write(tmp_path)
    assert schemas.check(tmp_path) == ["test.renamed.v1.json"]
    (tmp_path / "test.renamed.v1.json").write_text('{"kept": true}')
    assert schemas.write(tmp_path) == []
    assert (tmp_path / "test.renamed.v1.json").read_text() == '{"kept": true}'


@pytest.mark.usefixtures("_no_earlier_versions")
def test_the_command_writes_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["schemas", "--directory", str(tmp_path)]
    assert run([*arguments, "--check"], {}) == 1
    assert "run: payloops schemas" in capsys.readouterr().out
    assert run(arguments, {}) == 0
    assert f"wrote {tmp_path / 'order.created.v2.json'}" in capsys.readouterr().out
    assert run([*arguments, "--check"], {}) == 0
    assert capsys.readouterr().out == ""
    assert schemas_command.__doc__ is not None
