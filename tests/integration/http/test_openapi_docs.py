"""``/docs`` in a browser: from this host alone, within its policy, and it can be tried out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from tests.browser import NoBrowser, ensure_browser
from tests.integration.http.walk import CALLS
from tests.integration.http.world import Api, Merchant
from tests.parts import missing_part

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WAIT_MS = 60_000
VIOLATIONS = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) =>
    violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    try:
        path = ensure_browser()
    except NoBrowser as problem:
        missing_part("browser", str(problem))
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=path)
        yield opened
        await opened.close()


@dataclass
class Reading:
    """A page that is being read, and what went on behind it."""

    page: Page
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    async def picture(self, name: str) -> None:
        """For people, where a directory for it is named."""
        if place := os.environ.get("PAYLOOPS_TEST_PICTURES"):
            await self.page.screenshot(path=Path(place, f"{name}.png"), full_page=True)

    async def opened(self, method: str, path: str) -> Locator:
        """The call's section, ready to be tried out."""
        section = self.page.locator(f".opblock-{method}", has=self.page.locator(f'[data-path="{path}"]')).first
        await section.locator(".opblock-summary-control").click()
        await section.get_by_role("button", name="Try it out").click()
        return section

    async def answered(self, section: Locator) -> str:
        """Execute, and the status that is shown then."""
        await section.get_by_role("button", name="Execute").click()
        status = section.locator(".live-responses-table .response-col_status").last
        await expect(status).to_contain_text("20")
        return await status.inner_text()

    async def require_quiet(self, api: Api) -> None:
        assert self.hosts == {f"127.0.0.1:{api.port}"}
        assert self.complaints == []
        assert await self.page.evaluate("violations") == []


@contextlib.asynccontextmanager
async def reading(browser: Browser, api: Api) -> AsyncIterator[Reading]:
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    await context.add_init_script(VIOLATIONS)
    page = await context.new_page()
    page.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    found = Reading(page)
    page.on("request", lambda request: found.hosts.add(request.url.split("/")[2]) if "://" in request.url else None)
    page.on("console", lambda said: found.complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda problem: found.complaints.append(str(problem)))
    page.on("requestfailed", lambda request: found.complaints.append(f"failed: {request.url}"))
    answer = await page.goto(f"http://127.0.0.1:{api.port}/docs")
    assert answer is not None
    assert answer.status == 200
    yield found
    await context.close()


async def test_every_call_is_shown_from_this_host_alone(api: Api, browser: Browser) -> None:
    async with reading(browser, api) as docs:
        await expect(docs.page.locator(".opblock-tag").first).to_be_visible()
        await docs.picture("docs")
        for tag in await docs.page.locator(".opblock-tag").all():
            if await tag.get_attribute("data-is-open") != "true":
                await tag.click()
        await expect(docs.page.locator(".opblock")).to_have_count(len(CALLS))
        await docs.picture("docs-open")
        await docs.require_quiet(api)


async def test_calls_can_be_tried_out_with_a_key(api: Api, merchant: Merchant, browser: Browser) -> None:
    async with reading(browser, api) as docs:
        for tag in ("Operations", "Orders"):
            await docs.page.locator(f'.opblock-tag[data-tag="{tag}"]').click()
        health = await docs.opened("get", "/health")
        assert await docs.answered(health) == "200"
        await docs.page.get_by_role("button", name="Authorize").first.click()
        form = docs.page.locator(".auth-container", has_text="ApiKey")
        await form.locator("input").fill(merchant.api_key)
        await form.get_by_role("button", name="Apply credentials").click()
        await docs.picture("authorize")
        await docs.page.locator(".modal-ux .close-modal").click()
        create = await docs.opened("post", "/v1/orders")
        assert await docs.answered(create) == "201"
        await docs.picture("order")
        await docs.require_quiet(api)
    orders = (await api.call("GET", "/v1/orders", key=merchant.api_key)).must(200)
    assert len(orders["data"]) == 1
