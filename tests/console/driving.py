"""Chromium for the browser tests: one browser for all, a fresh profile for each, whose console must stay silent; screenshots, and axe.

Screenshots are kept under tests/out. With VARSEL_GUIDE_PICTURES set to a folder, the guide's own pictures are written there too
(`VARSEL_GUIDE_PICTURES=docs/tutorial/portal make browser ARGS="-k guide"` renews what the guide shows).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OUT = Path(__file__).parents[1] / "out" / "portal"
_AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text("utf-8")
#: What axe calls these is what keeps people out.
_SERIOUS = ("serious", "critical")


@dataclass
class Driver:
    """A page, what its console said, and every request it sent."""

    page: Any
    language: str
    said: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    shots: int = 0

    async def look(self, name: str, *, part: str | None = None, guide: bool = False) -> None:
        """Keep a screenshot of the whole page; axe must find nothing that keeps people out.

        With `guide` the picture belongs to the guide: the top of the page, or the `part` that a selector names.
        """
        self.shots += 1
        OUT.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(
            path=OUT / f"{self.language}-{self.shots:02}-{name}.png", full_page=True, animations="disabled"
        )
        pictures = os.environ.get("VARSEL_GUIDE_PICTURES")
        if guide and pictures:
            await self._picture(Path(pictures) / f"{self.language}-{name}.png", part)
        await self.page.evaluate(_AXE)
        found = await self.page.evaluate("axe.run(document)")
        faults = [
            f"{fault['id']}: {node['html']}"
            for fault in found["violations"]
            if fault["impact"] in _SERIOUS
            for node in fault["nodes"]
        ]
        assert not faults, f"{name}: " + "\n".join(faults)

    async def _picture(self, path: Path, part: str | None) -> None:
        """What the guide shows: without the empty margins, and no longer than a reader takes in at once."""
        bottom = await self.page.evaluate(
            "document.querySelector('main').lastElementChild.getBoundingClientRect().bottom + window.scrollY"
        )
        clip = {"x": 140, "y": 0, "width": 1000, "height": min(bottom + 40, 1000)}
        if part is not None:
            box = await self.page.locator(part).first.bounding_box()
            top = await self.page.evaluate("window.scrollY")
            clip = {
                "x": max(box["x"] - 8, 0),
                "y": max(box["y"] + top - 8, 0),
                "width": box["width"] + 16,
                "height": min(box["height"] + 16, 1000),
            }
        path.parent.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=path, full_page=True, clip=clip, animations="disabled")

    async def over(self) -> int:
        """Pixels that stand out to the side."""
        script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(await self.page.evaluate(script))


@contextlib.asynccontextmanager
async def browsing() -> AsyncIterator[Any]:
    """A running Chromium without a window."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        await browser.close()


@contextlib.asynccontextmanager
async def driver(browser: Any, language: str = "nb", **options: Any) -> AsyncIterator[Driver]:
    """A profile of its own that asks for `language`; at the end its console has said nothing."""
    locale = {"nb": "nb-NO", "en": "en-GB"}[language]
    context = await browser.new_context(locale=locale, viewport={"width": 1280, "height": 900}, **options)
    try:
        context.set_default_timeout(60_000)
        page = await context.new_page()
        found = Driver(page, language)
        page.on("console", lambda message: found.said.append(message.text))
        page.on("pageerror", lambda error: found.said.append(str(error)))
        context.on("request", lambda request: found.sent.append(_whole(request)))
        yield found
        assert found.said == []
    finally:
        await context.close()


def _whole(request: Any) -> str:
    """Address, headers and body of a request in one text."""
    headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
    body = request.post_data_buffer or b""
    return f"{request.method} {request.url}\n{headers}\n\n{body.decode('utf-8', 'replace')}"
