"""A browser for a module of tests, and a shop whose sessions they pay."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from payloops.sandbox.app import build_sandbox
from payloops.values import SystemClock
from tests.browser import NoBrowser, ensure_browser
from tests.checkout.world import Shop, open_shop
from tests.databases import TestServer
from tests.parts import missing_part


@pytest.fixture(scope="module")
def chromium() -> Iterator[Path]:
    try:
        yield ensure_browser()
    except NoBrowser as problem:
        missing_part("browser", str(problem))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=chromium)
        yield opened
        await opened.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(postgres_server: TestServer) -> AsyncIterator[Shop]:
    """One shop for all, each with a session of its own."""
    sandbox = build_sandbox(None, SystemClock(), settle_delay_s=0.05, hold_s=20)
    await sandbox.start("127.0.0.1", 0, 0)
    database = postgres_server.create()
    async with open_shop(database, sandbox) as opened:
        yield opened
    postgres_server.drop(database)
    await sandbox.stop()
