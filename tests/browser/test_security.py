"""The security desk in a browser: incidents appear and change without a reload, and people work on them by clicking."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visitors
from tests.support.server import Server, Servers

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIST = "/admin/security/incident/"
DASHBOARD = LIST + "dashboard/"
HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>" + "x" * 150


async def opened(visitors: Visitors, site: Server, address: str) -> Page:
    page = await visitors.window(site, "admin", viewport={"width": 1280, "height": 900})
    await page.goto(address)
    await page.wait_for_function("window.securityStream?.state === 'open'")
    await page.evaluate("window.notReloaded = true")
    return page


def opens(site: Server, marker: str, **fields: object) -> int:
    """An incident that opens in another process. Its id."""
    opened: int = site.other.call("tests.support.desk.alerted", subject=marker, **fields)
    return opened


async def test_an_incident_that_opens_elsewhere_appears_on_the_dashboard(visitors: Visitors, site: Server, marker: str) -> None:
    page = await opened(visitors, site, DASHBOARD)
    number = page.locator(".security-count.security-critical strong")
    before = int(await number.inner_text())

    opens(site, marker, severity="critical")

    row = page.locator(".security-row", has_text=marker)
    await expect(row).to_be_visible()
    await expect(row).to_have_class("security-row security-arrived")
    await expect(number).to_have_text(str(before + 1))
    await expect(page.get_by_role("status")).to_contain_text(marker)
    assert await page.evaluate("window.notReloaded")
    await page.wait_for_function("window.shownNotifications.length === 1")


async def test_an_incident_is_acknowledged_noted_and_closed_by_clicking(visitors: Visitors, site: Server, marker: str) -> None:
    one = opens(site, marker)
    dashboard = await opened(visitors, site, DASHBOARD)
    row = dashboard.locator(".security-row", has_text=marker)
    page = await opened(visitors, site, DASHBOARD)
    await page.locator(".security-row", has_text=marker).click()
    await expect(page).to_have_url(f"{site.url}{LIST}{one}/change/")

    await page.get_by_role("button", name="Acknowledge").click()
    await expect(page.locator("#security-remarks")).to_contain_text("Acknowledged by admin")
    await expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    await expect(row).to_contain_text("Acknowledged")

    await page.get_by_label("What was found or done").fill("It is our scanner.")
    await page.get_by_role("button", name="Note").click()
    await expect(page.locator("#security-remarks")).to_contain_text("It is our scanner.")

    await page.get_by_role("button", name="Close").click()
    await expect(page.locator("#security-head")).to_contain_text("Closed")
    await expect(row).to_have_count(0)
    assert await dashboard.evaluate("window.notReloaded")


async def test_what_another_one_does_appears_on_the_page_and_leaves_what_is_being_written(
    visitors: Visitors, site: Server, marker: str
) -> None:
    one = opens(site, marker)
    page = await opened(visitors, site, f"{LIST}{one}/change/")
    text = page.get_by_label("What was found or done")
    await text.fill("I am still wri")

    site.other.run(
        "from security.incidents import acknowledge\nfrom security.models import Incident\n"
        "acknowledge(Incident.objects.get(pk=one), 'carol', 'mine')",
        one=one,
    )

    await expect(page.locator("#security-remarks")).to_contain_text("Acknowledged by carol")
    await expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    await expect(text).to_have_value("I am still wri")


async def test_who_may_not_see_incidents_gets_no_page_and_hears_nothing(chromium: str, serve: Servers, marker: str) -> None:
    site = serve()
    site.errors_expected = True  # Django logs a refusal with its traceback
    one = opens(site, marker)
    with site.client("sam") as client:
        for address in (LIST, DASHBOARD, f"{LIST}{one}/change/"):
            assert client.get(address).status_code == 403
    async with site.sse("sam", types="suspicious.*,incident.*,test.end") as stream:
        opens(site, marker + "-2", severity="critical")
        site.other.run(
            "from security.incidents import close\nfrom security.models import Incident\nclose(Incident.objects.get(pk=one), 'carol', '')",
            one=one,
        )
        assert site.emit("test.end", {"marker": marker})
        assert await stream.events_until("test.end") == []


async def test_markup_and_long_words_are_text_that_fits(visitors: Visitors, site: Server, marker: str) -> None:
    one = opens(site, marker + HOSTILE[:200], summary=HOSTILE[:255], numbers={HOSTILE: HOSTILE})
    phone = await visitors.window(site, "admin", viewport={"width": 390, "height": 844})
    shown: list[str] = []
    phone.on("dialog", lambda dialog: shown.append(dialog.message))
    for address in (f"{LIST}{one}/change/", DASHBOARD, LIST):
        await phone.goto(address)
        await expect(phone.get_by_text(marker).first).to_be_visible()
        assert await phone.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
    assert shown == []


async def test_a_proxy_that_is_none_is_forgotten_by_clicking(visitors: Visitors, site: Server) -> None:
    site.other.run("from security.memory import Kind, memory\nmemory.add(Kind.PROXY, 'outside', '8.8.8.8')")
    page = await opened(visitors, site, DASHBOARD)
    await expect(page.locator(".security-warning")).to_contain_text("8.8.8.8")
    await page.get_by_role("button", name="It is none: forget it").click()
    await expect(page).to_have_url(f"{site.url}{DASHBOARD}")
    await expect(page.locator(".security-warning")).to_have_count(0)
