"""The audit log's list in a browser: new entries appear without a reload, and don't move what is being read."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visitors
from tests.support.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIST = "/admin/audit/auditentry/"


async def opened(visitors: Visitors, site: Server, query: str = "") -> Page:
    page = await visitors.window(site, "admin", viewport={"width": 1280, "height": 700})
    await page.goto(LIST + query)
    await page.wait_for_function("window.auditStream?.state === 'open'")
    return page


def audited(site: Server, marker: str, number: int = 1, **fields: object) -> None:
    for n in range(number):
        assert site.emit("report.exported", {"action": marker, "n": n}, category="audit", **fields)


async def test_new_entries_appear_on_top_without_a_reload(visitors: Visitors, site: Server, marker: str) -> None:
    audited(site, marker, 2)
    page = await opened(visitors, site, f"?action={marker}")
    rows = page.locator("#result_list > tbody")
    await expect(rows).to_have_count(2)
    await page.evaluate("window.notReloaded = true")

    audited(site, marker)
    audited(site, "another-" + marker)

    await expect(rows).to_have_count(3)
    assert await rows.first.evaluate("row => row.classList.contains('audit-arrived')")
    assert await page.evaluate("window.notReloaded")


CHANGE = """
from chatter_site.demo.models import Document
Document.objects.create(owner_id=owner, name=name, size=1)
"""


async def test_changes_of_tracked_models_appear_without_a_reload(visitors: Visitors, site: Server, marker: str) -> None:
    page = await opened(visitors, site, "?resource_type=demo.document")
    await page.evaluate("window.notReloaded = true")
    names = [f"{marker}-{n}" for n in range(3)]
    for name in names:  # the last ones follow within the quiet after the notice of the first
        site.other.run(CHANGE, owner=site.accounts["alice"].id, name=name)

    for name in names:
        await expect(page.locator("#result_list > tbody", has_text=name)).to_have_count(1)
    assert await page.evaluate("window.notReloaded")


async def test_the_first_entry_of_an_empty_list_appears(visitors: Visitors, site: Server, marker: str) -> None:
    page = await opened(visitors, site, f"?action={marker}")
    await expect(page.locator("#result_list")).to_have_count(0)

    audited(site, marker)

    await expect(page.locator("#result_list > tbody")).to_have_count(1)


async def test_who_has_scrolled_down_is_told_and_not_moved(visitors: Visitors, site: Server, marker: str) -> None:
    audited(site, marker, 40)
    page = await opened(visitors, site, f"?action={marker}")
    rows = page.locator("#result_list > tbody")
    await rows.nth(35).scroll_into_view_if_needed()
    await page.wait_for_timeout(200)

    audited(site, marker, 3)

    notice = page.get_by_role("button", name="3 new entries")
    await expect(notice).to_be_visible()
    await expect(rows).to_have_count(40)
    await notice.click()
    await expect(rows).to_have_count(43)
    await expect(notice).to_be_hidden()


async def test_an_older_page_stays_as_it_is(visitors: Visitors, site: Server, marker: str) -> None:
    audited(site, marker, 51)
    page = await opened(visitors, site, f"?action={marker}")
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#result_list > tbody")).to_have_count(1)
    assert await page.evaluate("window.auditStream === undefined")
