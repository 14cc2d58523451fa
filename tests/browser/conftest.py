"""Chromium, and pages of signed-in users on a real server. The browser lives as long as a module's event loop."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from tests.support.server import Server, Servers

PHONE = {"width": 360, "height": 740}
# Records what the page shows as a browser notification, and shows it.
RECORD_NOTIFICATIONS = """
window.shownNotifications = [];
window.Notification = class extends window.Notification {
  constructor(title, options) {
    super(title, options);
    window.shownNotifications.push({ title, ...options });
  }
};
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("once")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """A running Chromium."""
    expect.set_options(timeout=15_000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        await browser.close()


@pytest.fixture(scope="module")
def site(serve_module: Servers) -> Server:
    """The site, as `make run` serves it."""
    return serve_module()


@dataclass
class Visitors:
    """Opens browser windows. What a page logs as an error fails the test, unless `errors_expected`."""

    browser: Browser
    errors_expected: bool = False
    errors: list[str] = field(default_factory=list)
    _opened: list[BrowserContext] = field(default_factory=list)
    _kept: dict[str, Page] = field(default_factory=dict)

    async def window(self, site: Server, user: str | None = None, **options: Any) -> Page:
        """An empty page in a browser profile of its own, signed in as the user, allowed to show notifications."""
        page = await self._open(site, user, options)
        self._opened.append(page.context)
        return page

    async def console(self, site: Server, user: str, shared: bool = True) -> Page:
        """The live console of the user, loaded anew and connected. Tests share its window, because a new one takes over a
        second: not `shared`, for a server or a session that ends with the test."""
        if not shared:
            page = await self.window(site, user)
        elif user in self._kept:
            page = self._kept[user]
        else:
            page = self._kept[user] = await self._open(site, user, {})
        await page.context.set_offline(False)
        await page.goto("/")
        await is_live(page)
        return page

    async def _open(self, site: Server, user: str | None, options: dict[str, Any]) -> Page:
        context = await self.browser.new_context(base_url=site.url, permissions=["notifications"], **options)
        await context.add_init_script(RECORD_NOTIFICATIONS)
        if user:
            await context.add_cookies([{"name": "sessionid", "value": site.new_session(user), "url": site.url}])
        page = await context.new_page()
        page.on("console", self._logged)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        return page

    async def close(self) -> None:
        """Close the windows that tests don't share."""
        while self._opened:
            await self._opened.pop().close()

    def _logged(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def all_visitors(browser: Browser) -> Visitors:
    """The windows of the module."""
    return Visitors(browser)


@pytest_asyncio.fixture(loop_scope="module")
async def visitors(all_visitors: Visitors) -> AsyncIterator[Visitors]:
    """Opens pages for the test."""
    all_visitors.errors_expected = False
    all_visitors.errors.clear()
    yield all_visitors
    await all_visitors.close()
    assert all_visitors.errors_expected or not all_visitors.errors


@pytest.fixture
def marker() -> str:
    """A word that no other test's events hold."""
    return f"marker-{uuid.uuid4().hex[:8]}"


async def is_live(page: Page) -> None:
    """Wait until the page's stream is open."""
    await expect(page.locator("#connection")).to_have_attribute("data-state", "open")
