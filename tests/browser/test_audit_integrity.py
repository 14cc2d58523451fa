"""The page "Integrity" in a browser: it verifies the whole log step by step, and names what was tampered with."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, Request, expect

from tests.browser.conftest import Visitors
from tests.support.server import Server, Servers

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "/admin/audit/auditentry/integrity/"
TAMPER = """
from django.db import connection
from audit.evidence import triggers
triggers.uninstall(connection)
with connection.cursor() as cursor:
    for statement in statements:
        cursor.execute(statement)
triggers.install(connection)
"""


@pytest.fixture
def site(serve: Servers) -> Server:
    """A site where each row has a seal, and each request verifies one."""
    site = serve(
        DJANGO_SETTINGS_MODULE="tests.support.stepwise.settings", AUDIT_SEAL_MAX_ROWS="1", AUDIT_SEAL_IN_BACKGROUND="false"
    )
    for n in range(6):
        assert site.emit("report.exported", {"n": n}, category="audit")
    site.other.call("tests.support.auditing.seal")
    return site


def tamper(site: Server, *statements: str) -> None:
    site.other.run(TAMPER, statements=statements)


async def opened(visitors: Visitors, site: Server, **options: object) -> Page:
    page = await visitors.window(site, "admin", viewport={"width": 1280, "height": 900}, **options)
    await page.goto(PAGE)
    return page


async def verify(page: Page) -> None:
    await page.get_by_role("button", name="Verify").click()


async def test_the_whole_log_is_verified_in_steps(visitors: Visitors, site: Server) -> None:
    page = await opened(visitors, site)
    runs: list[str] = []

    async def sent(request: Request) -> None:
        if request.method == "POST":
            runs.append((await request.all_headers())["x-correlation-id"])

    page.on("request", sent)
    seals = int(await page.locator("table").last.locator("tbody tr td").first.inner_text())
    await verify(page)

    await expect(page.get_by_role("status")).to_contain_text("to the end: all is as it was sealed.")
    await expect(page.get_by_role("status")).to_contain_text(f"Verified {seals} rows in {seals} seals")
    await expect(page.get_by_role("button", name="Verify")).to_be_visible()
    assert await page.get_by_role("progressbar").evaluate("it => it.value === it.max")
    assert len(runs) >= seals
    assert len(set(runs)) == 1
    await page.get_by_role("link", name="On record").click()
    await expect(page.get_by_role("link", name="audit_log.verified")).to_have_count(len(runs))


async def test_rows_that_were_tampered_with_are_named_and_linked(visitors: Visitors, site: Server) -> None:
    ids = site.other.run("from audit.models import AuditEntry\nresult = sorted(AuditEntry.objects.values_list('id', flat=True))")
    changed, gone = ids[-4], ids[-2]
    tamper(
        site,
        f"UPDATE audit_log SET action = 'imported' WHERE id = {changed}",
        f"DELETE FROM audit_log WHERE id = {gone}",
    )
    page = await opened(visitors, site)
    await verify(page)

    await expect(page.get_by_role("status")).to_contain_text("to the end: 2 findings.")
    findings = page.get_by_role("list", name="Findings").get_by_role("listitem")
    await expect(findings).to_have_count(2)
    await expect(findings.nth(0)).to_contain_text(f"row changed row {changed}")
    await expect(findings.nth(1)).to_contain_text(f"row deleted row {gone}")
    await expect(findings.nth(1).get_by_role("link")).to_have_count(0)
    await findings.nth(0).get_by_role("link", name=f"row {changed}").click()
    await expect(page).to_have_url(re.compile(f"/auditentry/{changed}/change/"))
    await expect(page.get_by_text("imported", exact=True)).to_be_visible()

    await page.goto(PAGE)
    await expect(page.get_by_role("region", name="Last verifications")).to_contain_text(re.compile("2 findings", re.IGNORECASE))


async def test_who_is_signed_out_meanwhile_is_told(visitors: Visitors, site: Server) -> None:
    page = await opened(visitors, site)
    await page.context.clear_cookies(name="sessionid")
    await verify(page)
    await expect(page.get_by_role("status")).to_contain_text(
        re.compile("It could not go on: (you are signed out|the server answered 403)")
    )
    await expect(page.get_by_role("button", name="Go on with seal 1")).to_be_visible()


async def test_without_javascript_each_press_is_a_step(visitors: Visitors, site: Server) -> None:
    page = await opened(visitors, site, java_script_enabled=False)
    await verify(page)
    await expect(page.get_by_role("status")).to_contain_text("from seal 1 on, up to 1 of")
    await page.get_by_role("button", name="Go on with seal 2").click()
    await expect(page.get_by_role("button", name="Go on with seal 3")).to_be_visible()
