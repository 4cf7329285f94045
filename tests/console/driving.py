"""Chromium for the browser tests: one page whose console must stay silent, screenshots, and axe."""

from __future__ import annotations

import contextlib
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

    async def look(self, name: str) -> None:
        """Keep a screenshot of the whole page; axe must find nothing that keeps people out."""
        self.shots += 1
        OUT.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(
            path=OUT / f"{self.language}-{self.shots:02}-{name}.png", full_page=True, animations="disabled"
        )
        await self.page.evaluate(_AXE)
        found = await self.page.evaluate("axe.run(document)")
        faults = [
            f"{fault['id']}: {node['html']}"
            for fault in found["violations"]
            if fault["impact"] in _SERIOUS
            for node in fault["nodes"]
        ]
        assert not faults, f"{name}: " + "\n".join(faults)

    async def over(self) -> int:
        """Pixels that stand out to the side."""
        script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(await self.page.evaluate(script))


@contextlib.asynccontextmanager
async def driver(language: str = "nb", **options: Any) -> AsyncIterator[Driver]:
    """A fresh browser that asks for `language`; at the end its console has said nothing."""
    from playwright.async_api import async_playwright

    async with contextlib.AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        stack.push_async_callback(browser.close)
        locale = {"nb": "nb-NO", "en": "en-GB"}[language]
        context = await browser.new_context(locale=locale, viewport={"width": 1280, "height": 900}, **options)
        page = await context.new_page()
        found = Driver(page, language)
        page.on("console", lambda message: found.said.append(message.text))
        page.on("pageerror", lambda error: found.said.append(str(error)))
        context.on("request", lambda request: found.sent.append(_whole(request)))
        yield found
        assert found.said == []


def _whole(request: Any) -> str:
    """Address, headers and body of a request in one text."""
    headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
    body = request.post_data_buffer or b""
    return f"{request.method} {request.url}\n{headers}\n\n{body.decode('utf-8', 'replace')}"
