"""`payloops projections verify` and `payloops audit`, as an operator runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from payloops.cli.commands import run
from payloops.commands.handlers import Guard
from payloops.config import Settings
from payloops.db import Database
from payloops.events.base import Sealed
from payloops.values import new_id
from tests.databases import TestDatabase
from tests.integration.handlers.world import MERCHANT, Process, pay, process, rename
from tests.integration.http.world import SETTINGS, open_api
from tests.integration.store.appends import append, query


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No .env of this checkout, no settings of this shell."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("payloops.telemetry.process.configure_logging", lambda **_: None)


@pytest.fixture
async def here(database_url: str) -> AsyncIterator[Process]:
    async with process(database_url) as made:
        yield made


@pytest.fixture
async def shop(here: Process) -> Guard:
    return await here.merchant()


class Terminal:
    """Where the operator types and reads."""

    def __init__(self, database: TestDatabase, capsys: pytest.CaptureFixture[str]) -> None:
        self.environ = {
            "DATABASE_URL": database.app_dsn,
            "JWT_SECRET": "j" * 32,
            "ENCRYPTION_KEY": "e" * 32,
        }
        self._capsys = capsys
        self.errors = ""

    async def type(self, *argv: str) -> tuple[int, list[str]]:
        """The status and the lines that were printed."""
        self._capsys.readouterr()
        status = await asyncio.to_thread(run, argv, self.environ)
        said = self._capsys.readouterr()
        self.errors = said.err
        return status, said.out.splitlines()


@pytest.fixture
def terminal(test_database: TestDatabase, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(test_database, capsys)


async def test_tables_that_agree_with_the_log_are_ok(here: Process, shop: Guard, terminal: Terminal) -> None:
    await here.do(order_id := await here.order(shop), pay(order_id))
    status, lines = await terminal.type("projections", "verify")
    assert (status, lines[0], lines[-1]) == (0, "4 events of 2 streams", "ok")
    assert "  orders: 1 rows" in lines


async def test_differences_are_named_without_what_is_sealed(
    here: Process, shop: Guard, terminal: Terminal, database: Database
) -> None:
    order_id = await here.order(shop, customer_email=Sealed("p1.first"))
    await query(database, "UPDATE orders SET customer_email = 'p1.other', description = 'x' RETURNING id")
    await query(database, "DELETE FROM api_keys RETURNING id")
    status, lines = await terminal.type("projections", "verify")
    assert status == 1
    assert f"DIFFERS orders {order_id}: customer_email is [encrypted], not [encrypted]" in lines
    assert f'DIFFERS orders {order_id}: description is "x", not absent' in lines
    assert f'DIFFERS api_keys {shop.api_key_id}: the row is absent, not "a row"' in lines
    assert lines[-1] == "3 differences, 0 broken rules"


async def test_orders_that_no_address_leads_to_are_indexed(
    test_database: TestDatabase, terminal: Terminal, database: Database
) -> None:
    async with open_api(test_database) as api:
        merchant = await api.merchant()
        order = await api.new_order(merchant, customerEmail="jane@shop.example")
    terminal.environ["ENCRYPTION_KEY"] = SETTINGS["ENCRYPTION_KEY"]
    await query(database, "DELETE FROM order_emails RETURNING order_id")
    status, lines = await terminal.type("projections", "verify")
    assert (status, f'DIFFERS order_emails {order["id"]}: the row is absent, not "a row"' in lines) == (1, True)
    for written in (1, 0):
        status, lines = await terminal.type("projections", "index-emails")
        assert (status, lines[-1]) == (0, f"{written} orders more are found by their customers' addresses")
    status, lines = await terminal.type("projections", "verify")
    assert (status, lines[-1]) == (0, "ok")
    assert "  order_emails: 1 rows" in lines


async def test_the_trail_of_an_order(here: Process, shop: Guard, terminal: Terminal) -> None:
    order_id = await here.order(shop, customer_email=Sealed("p1.secret"), description="a\nb\x1b[31m")
    await here.do(order_id, pay(order_id, "tok_secret"))
    status, lines = await terminal.type("audit", str(order_id))
    assert status == 0
    assert [line.split()[3] for line in lines] == ["order.created", "order.payment_started"]
    assert "system:test" in lines[0]
    assert "[encrypted]" in lines[0]
    assert "secret" not in "".join(lines)
    assert all(line.isprintable() for line in lines)


async def test_the_trail_as_json(shop: Guard, terminal: Terminal) -> None:
    status, lines = await terminal.type("audit", "--json", str(shop.merchant_id))
    entries = [orjson.loads(line) for line in lines]
    assert status == 0
    assert [(entry["position"], entry["streamVersion"], entry["type"]) for entry in entries] == [
        (1, 1, "merchant.registered"),
        (2, 2, "merchant.api_key_created"),
    ]
    assert entries[0]["data"]["passwordHash"] == "[encrypted]"


async def test_a_long_trail_is_read_page_by_page(
    here: Process, shop: Guard, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payloops.cli.audit.PAGE_EVENTS", 2)
    for _ in range(3):
        await here.handler.execute(MERCHANT, shop.merchant_id, rename(shop.merchant_id))
    status, lines = await terminal.type("audit", str(shop.merchant_id))
    assert (status, [line.split()[2] for line in lines]) == (0, ["v1", "v2", "v3", "v4", "v5"])


async def test_an_unknown_id_is_one_line(terminal: Terminal) -> None:
    unknown = new_id()
    assert await terminal.type("audit", str(unknown)) == (1, [])
    assert terminal.errors == f"payloops: no events of {unknown}\n"


async def test_an_event_that_can_not_be_read_is_named(here: Process, terminal: Terminal) -> None:
    stream = new_id()
    await here.store.append(append(stream))
    status, lines = await terminal.type("audit", str(stream))
    assert (status, lines) == (1, [])
    assert "can't be read" in terminal.errors
    assert "test.happened.v1" in terminal.errors
    assert terminal.errors.count("\n") == 1
