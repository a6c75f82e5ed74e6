"""docs/client.md is true: every block runs against the service and prints what is written beside it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from payloops.client import Dashboard, PayLoops
from tests.checkout.world import Shop
from tests.integration.http.world import PASSWORD

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
WAIT_S = 60.0


def expected(block: str) -> list[str]:
    """What the block says that it prints: behind arrows, in their order."""
    return [line for told in re.findall(r"# → (.*)$", block, re.MULTILINE) for line in told.split(" → ")]


def test_there_is_something_to_run() -> None:
    assert len(BLOCKS) >= 8
    assert sum(len(expected(block)) for block in BLOCKS) >= 8


@pytest.mark.usefixtures("at_the_shop")
async def test_every_block_prints_what_is_written_beside_it(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "docs"}
    try:
        for block in BLOCKS:
            await asyncio.to_thread(exec, compile(block, "docs/client.md", "exec"), names)
            assert capsys.readouterr().out.splitlines() == expected(block), block
        await the_receiver_is_told(names, shop, capsys)
    finally:
        for name in ("client", "patient", "dashboard"):
            if name in names:
                names[name].close()


async def the_receiver_is_told(names: dict[str, Any], shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """The page's own receiver, on a real port, told by the real service."""
    told = threading.Event()

    of_the_page = names["Receiver"].do_POST

    def then_say_so(receiver: Any) -> None:
        of_the_page(receiver)
        if receiver.seen:
            told.set()

    overrides = {"do_POST": then_say_so, "log_message": lambda *_: None}
    with serving(type("Receiver", (names["Receiver"],), overrides)) as url, pytest.MonkeyPatch.context() as patch:
        with Dashboard(shop.merchant.token, base_url=shop.base_url) as dashboard:
            endpoint = await asyncio.to_thread(
                dashboard.webhook_endpoints.create, url, event_types=["payment.captured"]
            )
        patch.setenv("PAYLOOPS_WEBHOOK_SECRET", endpoint.secret)
        with PayLoops(shop.merchant.api_key, base_url=shop.base_url) as client:
            order = await asyncio.to_thread(client.orders.create, 1234, external_id="cart-99")
            await asyncio.to_thread(client.orders.pay, order.id, token="pm_card_visa", wait=30)
        assert await asyncio.to_thread(told.wait, WAIT_S)
    assert capsys.readouterr().out == "ship cart-99 1234 USD\n"


@contextmanager
def serving(handler: type) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def at_the_shop(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {
        "PAYLOOPS_API_KEY": shop.merchant.api_key,
        "PAYLOOPS_URL": shop.base_url,
        "EMAIL": shop.merchant.email,
        "PASSWORD": PASSWORD,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_it_needs_httpx_and_pydantic_and_nothing_else_of_the_project() -> None:
    """As it would be if it were published by itself."""
    code = (
        "import sys, payloops.client\n"
        "print(*{name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('payloops.')))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    others, own = ran.stdout.splitlines()
    assert {"httpx", "pydantic"} <= set(others.split())
    assert not {"aiohttp", "psycopg", "eventsourcing", "temporalio", "orjson", "cryptography"} & set(others.split())
    assert all(name.startswith("payloops.client") for name in own.split())
