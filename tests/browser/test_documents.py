"""The documents in a real browser: their list in the console, and the page of each."""

from __future__ import annotations

import pytest
from playwright.async_api import Route, expect

from tests.browser.conftest import Visitors, is_live
from tests.support.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")


UNFINISHED = """
from chatter_site.demo.models import Document
document = Document.objects.create(owner_id=owner, name="half.txt", size=9, status="processing", progress=40)
result = document.get_absolute_url()
"""
# As if the process that works on it had died an hour ago.
ABANDON = """
from datetime import timedelta
from django.utils import timezone
from chatter_site.demo.models import Document
Document.objects.filter(pk=pk).update(updated_at=timezone.now() - timedelta(hours=1))
"""


def unfinished(site: Server, user: str) -> str:
    """The address of a document of the user that is being processed."""
    address: str = site.other.run(UNFINISHED, owner=site.accounts[user].id)
    return address


def key_of(address: str) -> int:
    return int(address.split("/")[-2])


async def test_of_many_documents_the_newest_are_listed_and_the_rest_is_told(site: Server, visitors: Visitors) -> None:
    stored = """
from chatter_site.demo.models import Document
for number in range(53):
    Document.objects.create(owner_id=owner, name=f"{number}.txt", size=9, status="completed")
"""
    site.other.run(stored, owner=site.accounts["bob"].id)
    page, other = [await visitors.console(site, "bob", shared=False) for _ in range(2)]
    rows = page.get_by_role("list", name="Your documents").locator("li")
    await expect(rows).to_have_count(50)
    await expect(page.locator("#documents-count")).to_have_text("53")
    await page.get_by_role("button", name="Show the newest 50").click()
    await expect(page.get_by_text("3 older documents are not listed.")).to_be_visible()

    for name in ("52.txt", "50.txt"):
        for _ in ("arm", "delete"):
            await other.locator(".document", has_text=name).get_by_role("button").click()
    await expect(page.get_by_text("1 older document is not listed.")).to_be_visible()
    names = ["51.txt", *(f"{number}.txt" for number in reversed(range(1, 50)))]
    await expect(rows.locator(".document-name")).to_have_text(names)

    await page.locator("input[type=file]").set_input_files({"name": "new.txt", "mimeType": "text/plain", "buffer": b"new"})
    await expect(rows.first).to_contain_text("new.txt")
    await expect(page.locator("#documents-count")).to_have_text("52")


async def test_the_page_of_a_document_shows_its_chunks_once_they_are_there(site: Server, visitors: Visitors, marker: str) -> None:
    page = await visitors.console(site, "alice")
    address = unfinished(site, "alice")
    await page.goto(address)
    await page.wait_for_function("window.chatterEvents.state === 'open'")
    await page.get_by_text("Delete", exact=True).click()
    site.other.call("chatter_site.demo.processing.process", key_of(address), marker)
    await expect(page.locator(".chunk p")).to_have_text(marker)
    await expect(page.locator(".badge")).to_have_text("Completed")
    await expect(page.get_by_role("button", name="Delete for good")).to_be_visible()


async def test_the_page_of_a_document_says_that_it_was_deleted_elsewhere(site: Server, visitors: Visitors) -> None:
    page = await visitors.console(site, "alice")
    address = unfinished(site, "alice")
    await page.goto(address)
    await page.wait_for_function("window.chatterEvents.state === 'open'")
    token = next(cookie["value"] for cookie in await page.context.cookies() if cookie["name"] == "csrftoken")
    await page.request.post(f"{address}delete/", headers={"X-CSRFToken": token})
    await expect(page.get_by_role("status")).to_have_text("This document was deleted.")


async def test_a_click_on_the_way_from_a_document_that_fails_meanwhile_arrives(site: Server, visitors: Visitors) -> None:
    page = await visitors.console(site, "alice")
    address = unfinished(site, "alice")
    await page.goto(address)
    await page.wait_for_function("window.chatterEvents.state === 'open'")
    site.other.run(ABANDON, pk=key_of(address))

    async def answer_late(route: Route) -> None:
        async with page.expect_response(f"{site.url}{address}"):
            response = await route.fetch()  # this request finds the document abandoned
        await route.fulfill(response=response)

    await page.route(f"{site.url}/", answer_late)
    await page.get_by_role("navigation", name="Site").get_by_role("link", name="Console").click()
    await expect(page).to_have_url(f"{site.url}/")
    await is_live(page)
    await page.unroute_all()
