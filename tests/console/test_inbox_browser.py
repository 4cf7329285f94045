"""The inbox in a real browser: it moves by itself, keeps the reader's place, and lets hostile mail do nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import uvicorn

from tests.console.driving import driver
from tests.console.test_inbox_pages import NOW, KeptMessages, email, sms
from tests.support.polling import until
from varsel.console.room import ConsoleRoom
from varsel.runtime.clock import ManualClock
from varsel.runtime.settings import Settings

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture
def inbox() -> KeptMessages:
    return KeptMessages(email(), sms())


@pytest_asyncio.fixture(loop_scope="session")
async def base(inbox: KeptMessages) -> AsyncIterator[str]:
    room = await ConsoleRoom.open(Settings(), ManualClock(NOW), sandbox=True, inbox=inbox)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await room.app(scope, receive, send)

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        task = asyncio.create_task(server.serve([listening]))
        await until(lambda: server.started)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/console"
        server.should_exit = True
        await task


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromium: Any) -> AsyncIterator[Any]:
    """A page whose console must stay silent: a breach of the content security policy is said there."""
    async with driver(chromium, "nb") as opened:
        opened.page.said = opened.said
        yield opened.page


async def test_the_list_moves_by_itself_and_keeps_the_readers_place(
    base: str, page: Any, inbox: KeptMessages
) -> None:
    await page.goto(f"{base}/inbox")
    await page.focus("#to")
    await page.keyboard.type("kar")
    inbox.messages.append(sms("Ny melding!"))
    await page.get_by_text("Ny melding!").wait_for(timeout=10_000)
    assert await page.locator("[role=status]").inner_text() == "3 meldinger"
    assert await page.input_value("#to") == "kar"
    assert await page.evaluate("document.activeElement.id") == "to"


async def test_everything_is_reached_by_keyboard(base: str, page: Any) -> None:
    await page.goto(f"{base}/inbox")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip ds-link"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "content"
    seen = []
    for _ in range(12):
        await page.keyboard.press("Tab")
        seen.append(
            await page.evaluate("document.activeElement.getAttribute('href') || document.activeElement.id")
        )
    assert "to" in seen
    assert sum("/console/inbox/0" in (place or "") for place in seen) == 2, seen


async def test_hostile_mail_does_nothing(base: str, page: Any, inbox: KeptMessages) -> None:
    evil = (
        "<h1>Hei</h1><script>parent.document.title='owned';document.body.innerHTML='owned'</script>"
        "<img src='http://127.0.0.1:1/x.png' onerror=\"document.body.innerHTML='owned'\"><form action='http://127.0.0.1:1/'></form>"
    )
    message = email(html=evil)
    inbox.messages.append(message)
    said = page.said
    await page.goto(f"{base}/inbox/{message.id}")
    frame = page.frame_locator("iframe")
    await frame.get_by_role("heading", name="Hei").wait_for()
    assert await page.title() == "Vedtak – Varsel"
    assert "owned" not in await frame.locator("body").inner_text()
    # The browser says that it refused the script and the picture, and nothing else.
    assert {word for word in ("script", "image") if any(word in line for line in said)} == {"script", "image"}
    assert all("Blocked script execution" in line or "Content Security Policy" in line for line in said)
    said.clear()


@pytest.mark.parametrize("width", [320, 390])
async def test_a_phone_shows_it_without_scrolling_sideways(
    base: str, page: Any, inbox: KeptMessages, width: int
) -> None:
    long = email("a.very.long.address.with.many.parts@subdomain.example.museum", subject="W" * 120)
    inbox.messages.append(long)
    await page.set_viewport_size({"width": width, "height": 800})
    for path in ("login", "inbox", f"inbox/{long.id}", f"inbox/{long.id}?view=headers", "inbox/empty"):
        await page.goto(f"{base}/{path}")
        over = await page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert over <= 0, path
