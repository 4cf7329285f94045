"""/swagger in a real browser: the description is read there, an operation opens, and nothing is asked of another host (2.28)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.console.driving import OUT, Driver, browsing, driver
from tests.support.running import close_running, open_running
from varsel.cli.description import ENDPOINTS
from varsel.store.database import Database

pytestmark = pytest.mark.browser
#: Operations of the published description: what only the internal listener serves is left out.
SHOWN = [row for row in ENDPOINTS if not row.internal]


@pytest.fixture
async def origin(database: Database, tmp_path: Path) -> AsyncIterator[str]:
    world = await open_running(database, tmp_path)
    yield f"http://127.0.0.1:{world.port}"
    await close_running(world)


@pytest.fixture
async def drive() -> AsyncIterator[Driver]:
    async with browsing() as browser, driver(browser, "en") as opened:
        yield opened


async def test_the_description_is_read_in_a_browser(origin: str, drive: Driver) -> None:
    page = drive.page
    hosts: set[str] = set()
    page.context.on(
        "request", lambda request: hosts.add(urlsplit(request.url).netloc or urlsplit(request.url).scheme)
    )
    await page.goto(f"{origin}/swagger")
    await page.wait_for_selector(".opblock")
    assert await page.locator(".info .title").inner_text()
    assert await page.locator(".opblock").count() == len(SHOWN)
    assert await page.locator(".errors-wrapper").count() == 0
    operation = page.locator("#operations-future-create_chain")
    await operation.locator(".opblock-summary-control").click()
    body = operation.locator(".opblock-body")
    await body.wait_for()
    text = await body.inner_text()
    for shown in ("idempotencyId", "dry-run", "201", "422", "NOT-00001"):
        assert shown in text, shown
    await operation.locator(
        ".opblock-section-request-body .tablinks, .opblock-section-request-body .tab-item"
    ).last.click()
    schema = operation.locator(".opblock-section-request-body")
    assert "ChainOrder" in await schema.inner_text()
    OUT.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=OUT.parent / "swagger.png", animations="disabled")
    assert hosts <= {urlsplit(origin).netloc, "data"}


async def test_a_call_can_be_tried(origin: str, drive: Driver) -> None:
    """With the page's own button; the answer is shown."""
    page = drive.page
    await page.goto(f"{origin}/swagger")
    operation = page.locator("#operations-health-get_health")
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_role("button", name="Try it out").click()
    await operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table")
    await answer.wait_for()
    assert "Healthy" in await answer.inner_text()
