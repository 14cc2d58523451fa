"""How the console shows its connection, in a real browser."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.conftest import PHONE, Visitors, is_live
from tests.support.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAM = "**/events/stream*"


async def drop(page: Page) -> None:
    """End the page's stream as a lost network does. The page connects again at once."""
    await page.evaluate("dispatchEvent(new Event('offline')), dispatchEvent(new Event('online'))")


async def refuse(page: Page, status: int, **headers: str) -> None:
    """Let a proxy answer the page's streams from the next one on."""

    async def answer(route: Route) -> None:
        await route.fulfill(status=status, headers=headers, body="<h1>No</h1>")

    await page.route(STREAM, answer)
    await drop(page)


async def test_a_phone_has_room_for_the_header_in_every_state_of_the_connection(site: Server, visitors: Visitors) -> None:
    visitors.errors_expected = True
    page = await visitors.window(site, "admin", viewport=PHONE)
    pill = page.locator("#connection")
    widths = {}

    async def measure(state: str) -> None:
        await expect(pill).to_have_attribute("data-state", state)
        cut = await pill.locator(".connection-text").evaluate("(text) => text.scrollWidth > text.clientWidth")
        widths[state] = (await page.evaluate("document.documentElement.scrollWidth"), cut)

    await page.route(STREAM, lambda route: None)
    await page.goto("/")
    await measure("connecting")
    await page.unroute_all()
    await page.reload()
    await measure("open")
    await page.context.set_offline(True)
    await measure("offline")
    await page.context.set_offline(False)
    await is_live(page)
    await refuse(page, 503, **{"Retry-After": "1000"})
    await measure("reconnecting")
    await expect(page.locator("#notice")).to_contain_text("The server answers with an error (503).")
    await page.unroute_all()
    await page.get_by_role("button", name="Try now").click()
    await is_live(page)
    await refuse(page, 401)
    await measure("refused")
    assert widths == dict.fromkeys(["connecting", "open", "offline", "reconnecting", "refused"], (PHONE["width"], False))


async def test_a_page_whose_device_is_offline_says_so_soon_and_for_as_long(site: Server, visitors: Visitors) -> None:
    visitors.errors_expected = True
    page = await visitors.console(site, "alice")
    notice = page.locator("#notice")
    await page.evaluate("setInterval(() => dispatchEvent(new Event('online')), 300)")  # each makes it try again at once
    await page.context.set_offline(True)
    await expect(notice).to_contain_text("This device is offline.", timeout=5_000)
    await page.wait_for_function("chatterEvents.getConnectionStats().failedAttempts > 10")
    await expect(notice).to_contain_text("This device is offline.")
    await expect(page.get_by_role("button", name="Try now")).to_be_hidden()
    await page.context.set_offline(False)
    await is_live(page)
    await expect(notice).to_be_hidden()


async def test_a_page_that_missed_events_says_so_until_the_user_has_read_it(site: Server, visitors: Visitors) -> None:
    page = await visitors.console(site, "alice")
    gap = page.get_by_text("Some events were missed")
    await page.route(STREAM, lambda route: route.continue_(url=f"{site.url}/events/stream?cursor=other:1"), times=1)
    await drop(page)
    await expect(gap).to_be_visible()
    await drop(page)
    await page.wait_for_function("chatterEvents.getConnectionStats().connections === 3")
    assert await page.evaluate("chatterEvents.getConnectionStats().outcome") == "resumed"
    await expect(gap).to_be_visible()
    await page.get_by_role("button", name="Dismiss").click()
    await expect(gap).to_be_hidden()


@pytest.mark.parametrize("what", ["upload", "emit"])
async def test_a_page_that_an_answer_tells_it_is_signed_out_is_not_live(site: Server, visitors: Visitors, what: str) -> None:
    visitors.errors_expected = True
    page = await visitors.console(site, "admin", shared=False)
    await page.context.clear_cookies(name="sessionid")
    if what == "upload":
        await page.locator("input[type=file]").set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"a"})
    else:
        await page.get_by_text("Emit an event").click()
        await page.get_by_role("button", name="Emit").click()
    await expect(page.get_by_role("alert").filter(has_text="You are signed out.")).to_be_visible()
    await expect(page.locator("#connection")).to_have_text("Signed out")
    await expect(page.get_by_role("link", name="Sign in")).to_have_attribute("href", "/accounts/login/?next=%2F")
    await page.wait_for_function("chatterEvents.state === 'closed'")
    await expect(page.locator("#connection")).to_have_text("Signed out")
