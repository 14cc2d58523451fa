"""The console in a real browser, on a real server."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import PHONE, Visitors, is_live
from tests.support.seed import PASSWORD
from tests.support.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROCESSED = ["document.uploaded", "document.processing_started", "document.processing_progress", "document.processing_completed"]


def events(page: Page, text: str = "") -> Locator:
    """The rows of events that hold the text."""
    return page.get_by_role("list", name="Events, newest first").locator("> li").filter(has_text=text)


async def test_a_user_signs_in_uploads_a_file_and_watches_it_being_processed(site: Server, visitors: Visitors) -> None:
    page = await visitors.window(site)
    await page.goto("/")
    await page.get_by_label("Username").fill("alice")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await is_live(page)

    text = "\n\n".join(f"Paragraph {number} of the letter. " + "It says a little more. " * 30 for number in range(40))
    await page.locator("input[type=file]").set_input_files(
        {"name": "letter.txt", "mimeType": "text/plain", "buffer": text.encode()}
    )

    for event_type in PROCESSED:
        await expect(events(page, event_type).first).to_be_visible()
    document = page.get_by_role("list", name="Your documents").locator("li", has_text="letter.txt")
    await expect(document).to_have_attribute("data-status", "completed")
    await document.get_by_role("link", name="letter.txt").click()
    chunks = await page.locator(".chunk p").all_inner_texts()
    assert len(chunks) > 5
    assert "Paragraph 0 of the letter." in chunks[0]
    assert "Paragraph 39 of the letter." in chunks[-1]


async def test_a_wrong_password_is_told_and_nobody_is_signed_in(site: Server, visitors: Visitors) -> None:
    page = await visitors.window(site)
    await page.goto("/accounts/login/")
    await page.get_by_label("Username").fill("bob")
    await page.get_by_label("Password").fill("not this one")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("correct username and password")
    await page.goto("/")
    await expect(page).to_have_url(f"{site.url}/accounts/login/?next=/")


async def test_an_event_of_another_process_appears_without_a_reload(site: Server, visitors: Visitors, marker: str) -> None:
    page = await visitors.console(site, "alice")
    site.emit("report.ready", {"message": marker})
    row = events(page, marker)
    await expect(row).to_contain_text("report.ready")
    await row.locator("summary").click()
    await expect(row.locator("pre")).to_contain_text(f'"message": "{marker}"')


async def test_what_happened_while_the_page_was_offline_arrives_when_it_is_back(
    site: Server, visitors: Visitors, marker: str
) -> None:
    visitors.errors_expected = True  # the browser logs that the network is gone
    page = await visitors.console(site, "alice")
    await page.context.set_offline(True)
    await expect(page.locator("#connection")).to_have_attribute("data-state", "offline")
    for number in range(3):
        site.emit("report.ready", {"message": f"{marker} {number}"})
    await page.context.set_offline(False)
    await is_live(page)
    await expect(events(page, marker)).to_have_count(3)


async def test_what_happened_during_a_reload_without_network_is_there_after_the_next(
    site: Server, visitors: Visitors, marker: str
) -> None:
    visitors.errors_expected = True
    page = await visitors.console(site, "alice")
    await page.context.set_offline(True)
    with pytest.raises(Exception, match="ERR_INTERNET_DISCONNECTED"):
        await page.reload()
    site.emit("report.ready", {"message": marker})
    await page.context.set_offline(False)
    await page.goto("/")
    await expect(events(page, marker)).to_have_count(1)
    await is_live(page)
    await expect(events(page, marker)).to_have_count(1)


async def test_a_page_outlives_a_restart_of_the_server_and_misses_nothing(serve, visitors: Visitors, marker: str) -> None:
    visitors.errors_expected = True
    site = serve()
    page = await visitors.console(site, "alice", shared=False)
    site.emit("report.ready", {"message": f"{marker} before"})
    await expect(events(page, marker)).to_have_count(1)
    await asyncio.to_thread(site.stop)
    site.emit("report.ready", {"message": f"{marker} meanwhile"})
    await asyncio.to_thread(site.start)
    site.emit("report.ready", {"message": f"{marker} after"})
    await expect(events(page, marker)).to_have_count(3, timeout=30_000)
    assert [marker in text for text in await events(page, marker).all_inner_texts()] == [True] * 3


async def test_a_critical_event_is_shown_as_a_browser_notification_once(site: Server, visitors: Visitors, marker: str) -> None:
    page = await visitors.console(site, "alice")
    site.emit("disk.full", {"title": "The disk is full", "message": marker}, priority="critical")
    site.emit("disk.nearly_full", {"message": "later"}, priority="high")
    await expect(events(page, "disk.nearly_full").first).to_be_visible()
    shown = await page.evaluate("window.shownNotifications")
    assert [(notification["title"], notification["body"]) for notification in shown] == [("The disk is full", marker)]
    await expect(page.get_by_role("alert", name="Critical events")).to_contain_text(marker)


async def test_a_critical_event_whose_title_is_no_text_is_told_by_its_type(site: Server, visitors: Visitors, marker: str) -> None:
    page = await visitors.console(site, "alice")
    site.emit("disk.full", {"title": {"en": "Full"}, "where": marker}, priority="critical")
    toast = page.get_by_role("alert", name="Critical events").locator(".toast", has_text=marker)
    await expect(toast.locator("strong")).to_have_text("disk.full")
    await expect(toast).to_contain_text('title: {"en":"Full"}')
    await page.wait_for_function("window.shownNotifications.length > 0")
    assert await page.evaluate("window.shownNotifications.at(-1).title") == "disk.full"


async def test_failed_logins_notify_the_administrator_and_nobody_else(serve, visitors: Visitors) -> None:
    site = serve()
    admin, alice = [await visitors.console(site, user, shared=False) for user in ("admin", "alice")]
    for _ in range(5):
        site.sign_in("bob", "not this one").close()
    await expect(events(admin, "suspicious.brute_force").first).to_be_visible()
    await admin.wait_for_function("window.shownNotifications.length > 0")
    shown = await admin.evaluate("window.shownNotifications")
    assert len(shown) == 1
    site.emit("report.ready", {"message": "the last"})
    await expect(events(alice, "report.ready")).to_have_count(1)
    assert await alice.evaluate("window.shownNotifications") == []
    assert await events(alice, "suspicious").count() == 0


async def test_users_see_their_own_events_and_everybodys(site: Server, visitors: Visitors, marker: str) -> None:
    alice, bob = await visitors.console(site, "alice"), await visitors.console(site, "bob")
    site.emit("report.ready", {"message": f"{marker} for alice"}, user_id=site.accounts["alice"].id)
    site.emit("report.ready", {"message": f"{marker} for bob"}, user_id=site.accounts["bob"].id)
    site.emit("report.ready", {"message": f"{marker} for everybody"})
    for page, name in ((alice, "alice"), (bob, "bob")):
        await expect(events(page, f"{marker} for everybody")).to_have_count(1)
        await expect(events(page, f"{marker} for {name}")).to_have_count(1)
        await expect(events(page, marker)).to_have_count(2)


@pytest.mark.parametrize("markup", ["<script>window.attacked = true</script>", "<img src=x onerror='window.attacked = true'>"])
async def test_markup_in_an_event_is_shown_as_text(site: Server, visitors: Visitors, marker: str, markup: str) -> None:
    page = await visitors.console(site, "alice")
    data = {"message": f"{marker} {markup}", "title": markup, markup: markup}
    site.emit("report.ready", data, priority="critical", correlation_id=markup)
    row = events(page, marker)
    await expect(row.locator(".event-summary")).to_contain_text(markup)
    await row.locator("summary").click()
    await expect(row.locator(".facts")).to_contain_text(markup)
    await page.reload()
    await expect(events(page, marker).locator(".event-summary")).to_contain_text(markup)
    assert await page.evaluate("window.attacked") is None
    assert await page.locator("script", has_text="attacked").filter(has_not_text=marker).count() == 0


@pytest.mark.parametrize("path", ["/", "/accounts/login/"])
async def test_a_phone_shows_the_page_without_scrolling_sideways(
    site: Server, visitors: Visitors, marker: str, path: str
) -> None:
    page = await visitors.window(site, "alice" if path == "/" else None, viewport=PHONE)
    await page.goto(path)
    if path == "/":
        await is_live(page)
        data = {"message": f"{marker} {'word ' * 100}", "unbroken": "x" * 500}
        site.emit(".".join(["a" * 40, "b" * 40]), data, correlation_id="c" * 100)
        await expect(events(page, marker)).to_have_count(1)
        await events(page, marker).locator("summary").click()
        await expect(events(page, marker).locator("pre")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


async def test_a_paused_list_holds_what_arrives_until_it_goes_on(site: Server, visitors: Visitors, marker: str) -> None:
    page = await visitors.console(site, "alice")
    await page.get_by_role("button", name="Pause").click()
    site.emit("report.ready", {"message": marker})
    await page.get_by_role("button", name="Show 1 new event").click()
    await expect(events(page, marker)).to_have_count(1)


async def test_the_filter_shows_what_matches_the_pattern(site: Server, visitors: Visitors, marker: str) -> None:
    page = await visitors.console(site, "alice")
    site.emit("report.ready", {"message": marker})
    site.emit("report.failed", {"message": marker})
    await expect(events(page, marker)).to_have_count(2)
    await page.get_by_label("Type or pattern").fill("*.failed")
    await expect(events(page, marker)).to_have_count(1)
    await expect(events(page, marker)).to_contain_text("report.failed")


async def test_an_open_event_stays_open_while_a_filter_is_typed(site: Server, visitors: Visitors, marker: str) -> None:
    page = await visitors.console(site, "alice")
    site.emit("report.ready", {"message": marker})
    row = events(page, marker)
    await row.locator("summary").click()
    await expect(row.locator("pre")).to_be_visible()
    field = page.get_by_label("Type or pattern")
    await field.press_sequentially("report")
    await expect(row.locator("pre")).to_be_visible()
    await field.fill("*.failed")
    await expect(row).to_have_count(0)
    await field.fill("*.ready")
    await expect(row.locator("pre")).to_be_visible()
    await row.locator("summary").click()
    await field.fill("")
    await expect(row).to_be_visible()
    await expect(row.locator("pre")).to_be_hidden()


async def test_without_scripts_the_console_shows_nothing_that_needs_one(site: Server, visitors: Visitors) -> None:
    page = await visitors.window(site, "admin", java_script_enabled=False)
    await page.goto("/")
    await expect(page.get_by_text("The live console needs JavaScript.")).to_be_visible()
    for gone in (page.get_by_text("Connecting"), page.get_by_role("button", name="Pause"), page.get_by_text("Emit an event")):
        await expect(gone).to_be_hidden()
    await expect(page.get_by_role("search")).to_be_hidden()
    await expect(page.get_by_role("button", name="Upload", exact=True)).to_be_visible()

    scripted = await visitors.console(site, "alice")
    await expect(scripted.get_by_role("search")).to_be_visible()
    for part in await scripted.locator(".no-script").all():
        await expect(part).to_be_hidden()


async def test_a_page_whose_session_was_ended_elsewhere_offers_to_sign_in_again(site: Server, visitors: Visitors) -> None:
    page = await visitors.console(site, "bob", shared=False)
    other = await page.context.new_page()
    await other.goto("/")
    await other.get_by_role("button", name="Sign out").click()
    await expect(other).to_have_url(f"{site.url}/accounts/login/")
    await expect(page.locator("#connection")).to_have_text("Signed out")
    await expect(page.locator("#notice")).to_contain_text("signed out")
    await expect(page.get_by_role("link", name="Sign in")).to_have_attribute("href", "/accounts/login/?next=%2F")


async def test_markup_in_an_audit_entry_is_shown_as_text_in_the_admin(site: Server, visitors: Visitors, marker: str) -> None:
    page = await visitors.window(site, "admin")
    markup = "<script>window.attacked = true</script>"
    site.emit("model.delete", {"resource_id": marker, "note": markup}, category="audit", correlation_id=markup)
    await page.goto(f"/admin/audit/auditentry/?q={marker}")
    assert await page.evaluate("window.attacked") is None
    await page.locator("#result_list tbody a").first.click()
    await expect(page.locator("#content")).to_contain_text(f'"note": "{markup}"')
    assert await page.evaluate("window.attacked") is None
