"""The inbox pages of a sandbox: what they show, what they refuse, and that hostile mail stays harmless."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from html.parser import HTMLParser
from uuid import UUID

import httpx2
import pytest

from varsel.console.model import Channel
from varsel.console.room import ConsoleRoom
from varsel.console.texts import ENGLISH, NORWEGIAN, TEXTS, preferred
from varsel.runtime.clock import ManualClock, ShiftedCalendar
from varsel.runtime.settings import Settings
from varsel.sandbox.messages import Message
from varsel.store.ids import uuid7

NOW = datetime(2031, 3, 14, 8, 0, 41, tzinfo=UTC)
BASE = "http://127.0.0.1:5090"


def mail(subject: str = "Vedtak", html: str | None = None, attachment: bytes | None = None) -> bytes:
    message = EmailMessage(policy=SMTP)
    message["From"] = "noreply@altinn.cloud"
    message["To"] = "kari@example.org"
    message["Subject"] = subject
    message["X-Note"] = "<b>bold?</b>"
    message.set_content("Hei Kari")
    if html is not None:
        message.add_alternative(html, subtype="html")
    if attachment is not None:
        message.add_attachment(
            attachment, maintype="application", subtype="pdf", filename='Vedtak på "saken".pdf'
        )
    return message.as_bytes()


def email(to: str = "kari@example.org", html: str | None = None, **more: object) -> Message:
    subject = str(more.pop("subject", "Vedtak"))
    raw = mail(subject, html, more.pop("attachment", None))  # type: ignore[arg-type]
    return Message(uuid7(), "email", to, "noreply@altinn.cloud", subject, "Hei Kari", html, NOW, raw, {})


def sms(body: str = "Din kode er 1") -> Message:
    details = {"reference": "r", "minutes": 10, "ucs2": False}
    return Message(uuid7(), "sms", "+4799999999", "Altinn", None, body, None, NOW, None, details)


class KeptMessages:
    """An inbox in memory."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)

    async def recent(
        self, channel: Channel | None, part: str, limit: int, before: UUID | None = None
    ) -> Sequence[Message]:
        found = [
            message
            for message in reversed(self.messages)
            if (channel is None or message.channel == channel)
            and part in message.to
            and (before is None or message.id < before)
        ]
        return found[:limit]

    async def one(self, identifier: UUID) -> Message | None:
        return next((message for message in self.messages if message.id == identifier), None)

    async def empty(self) -> None:
        self.messages.clear()


async def open_client(
    inbox: KeptMessages | None, *, sandbox: bool = True, shift: int = 0
) -> httpx2.AsyncClient:
    calendar = ShiftedCalendar(ManualClock(NOW), timedelta(days=shift))
    room = await ConsoleRoom.open(Settings(), calendar, sandbox=sandbox, inbox=inbox)
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(room.app), base_url=BASE, headers={"accept-language": "nb"}
    )


@pytest.fixture
def inbox() -> KeptMessages:
    return KeptMessages(email(), sms())


@pytest.fixture
async def client(inbox: KeptMessages) -> AsyncIterator[httpx2.AsyncClient]:
    async with await open_client(inbox) as opened:
        yield opened


async def test_console_without_a_session_ends_in_a_login_page(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/console", follow_redirects=True)
    assert answer.status_code == 200
    assert answer.url.path == "/console/login"
    assert 'href="/console/inbox"' in answer.text


async def test_production_has_no_inbox() -> None:
    async with await open_client(KeptMessages(sms()), sandbox=False) as client:
        assert (await client.get("/console/inbox")).status_code == 404
        login = await client.get("/console", follow_redirects=True)
        assert login.status_code == 200
        assert "/console/inbox" not in login.text


async def test_the_list_shows_who_what_and_when(client: httpx2.AsyncClient) -> None:
    page = (await client.get("/console/inbox")).text
    assert page.index("+4799999999") < page.index("kari@example.org"), "newest first"
    assert "Din kode er 1" in page
    assert "Vedtak" in page
    assert '<time class="when" datetime="2031-03-14T08:00:41Z">09:00:41</time>' in page
    assert "2 meldinger" in page


async def test_the_list_is_narrowed_by_recipient_and_channel(client: httpx2.AsyncClient) -> None:
    found = (await client.get("/console/inbox?to=kari&channel=email")).text
    assert "kari@example.org" in found
    assert "+4799999999" not in found
    assert "1 melding<" in found
    assert NORWEGIAN["nothing_found"] in (await client.get("/console/inbox?to=nobody")).text


async def test_an_empty_inbox_says_what_to_do() -> None:
    async with await open_client(KeptMessages()) as client:
        assert ENGLISH["nothing_yet"] in (await client.get("/console/inbox?lang=en")).text


async def test_older_messages_are_a_page_away() -> None:
    inbox = KeptMessages(*(email(f"kari{n:02}@example.org") for n in range(60)))
    async with await open_client(inbox) as client:
        first = (await client.get("/console/inbox")).text
        assert first.count('<li id="m') == 50
        older = re.search(r'href="(/console/inbox\?before=[^"]+)"', first)
        assert older is not None
        rest = (await client.get(older.group(1))).text
        assert rest.count('<li id="m') == 10
        assert "kari00@example.org" in rest
        assert "hx-get" not in rest, "an older page does not move"


async def test_the_list_asks_again_and_hears_only_of_changes(
    client: httpx2.AsyncClient, inbox: KeptMessages
) -> None:
    page = (await client.get("/console/inbox")).text
    again = re.search(r'hx-get="([^"]+)" hx-trigger="every 2s"', page)
    assert again is not None
    url = again.group(1).replace("&amp;", "&")
    assert (await client.get(url)).status_code == 204
    inbox.messages.append(sms("Ny!"))
    changed = await client.get(url)
    assert changed.status_code == 200
    assert "Ny!" in changed.text
    assert "<html" not in changed.text


async def test_a_message_shows_text_headers_and_source(
    client: httpx2.AsyncClient, inbox: KeptMessages
) -> None:
    url = f"/console/inbox/{inbox.messages[0].id}"
    assert "Hei Kari" in (await client.get(url)).text
    headers = (await client.get(url + "?view=headers")).text
    assert '<th scope="row">X-Note</th><td>&lt;b&gt;bold?&lt;/b&gt;</td>' in headers
    assert "MIME-Version: 1.0" in (await client.get(url + "?view=source")).text
    source = await client.get(url + "/source")
    assert source.content == inbox.messages[0].raw
    assert source.headers["content-disposition"].startswith("attachment;")


async def test_an_sms_shows_how_it_was_sent(client: httpx2.AsyncClient, inbox: KeptMessages) -> None:
    page = (await client.get(f"/console/inbox/{inbox.messages[1].id}?lang=en")).text
    assert "GSM 7-bit" in page
    assert "10 minutes" in page


async def test_hostile_html_is_framed_without_rights(inbox: KeptMessages) -> None:
    evil = "<!doctype html><html><head><title>x</title></head><body onload='alert(1)'><script>alert(2)</script></body>"
    message = email(html=evil, subject="<script>alert(3)</script>")
    async with await open_client(KeptMessages(message)) as client:
        page = (await client.get(f"/console/inbox/{message.id}")).text
        assert "<script>alert" not in page
        assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
        shown = await client.get(f"/console/inbox/{message.id}/html")
    policy = shown.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-popups")
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert "<head><base" in shown.text


async def test_attachments_can_only_be_saved() -> None:
    message = email(attachment=b"%PDF-1.4")
    async with await open_client(KeptMessages(message)) as client:
        page = (await client.get(f"/console/inbox/{message.id}")).text
        assert "Vedtak på" in page
        file = await client.get(f"/console/inbox/{message.id}/files/1")
        assert file.content == b"%PDF-1.4"
        assert file.headers["content-type"] == "application/octet-stream"
        assert (
            file.headers["content-disposition"]
            == "attachment; filename*=UTF-8''Vedtak%20p%C3%A5%20%22saken%22.pdf"
        )
        for number in (0, 2):
            missing = await client.get(f"/console/inbox/{message.id}/files/{number}")
            assert missing.status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/console/inbox",
        "/console/login",
        "/console/nowhere",
        "/console/inbox/01a2024b-617b-7000-a9c8-848a415c1daf",
        "/console/inbox/list",
        "/console/inbox/empty",
        "/console/static/console.css",
        "/console/static/nothing.css",
        "/console",
    ],
)
async def test_every_answer_is_fenced(client: httpx2.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


async def test_emptying_is_asked_for_and_comes_from_our_own_page(
    client: httpx2.AsyncClient, inbox: KeptMessages
) -> None:
    assert NORWEGIAN["empty_question"] in (await client.get("/console/inbox/empty")).text
    for hostile in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example.org"}):
        assert (await client.post("/console/inbox/empty", headers=hostile)).status_code == 403
    assert len(inbox.messages) == 2
    done = await client.post("/console/inbox/empty", headers={"sec-fetch-site": "same-origin"})
    assert done.status_code == 303
    assert inbox.messages == []


async def test_a_foreign_name_for_this_machine_is_not_served(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/console/inbox", headers={"host": "evil.example.org"})).status_code == 421
    assert (await client.get("/console/inbox", headers={"host": "localhost:5090"})).status_code == 200


async def test_unknown_pages_and_methods(client: httpx2.AsyncClient) -> None:
    for path in ("/console/inbox/not-a-uuid", f"/console/inbox/{uuid7()}", "/console/nowhere"):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert NORWEGIAN["missing"] in answer.text
    assert (await client.delete("/console/inbox")).status_code == 405


async def test_odd_queries_are_ignored(client: httpx2.AsyncClient) -> None:
    for query in ("channel=fax", "before=x", "to=%00", "lang=xx", "to=" + "a" * 5000):
        assert (await client.get(f"/console/inbox?{query}")).status_code == 200


async def test_the_reader_chooses_the_language(client: httpx2.AsyncClient) -> None:
    assert 'lang="nb"' in (await client.get("/console/inbox")).text
    chosen = await client.get("/console/inbox?lang=en&to=kari")
    assert '<html lang="en"' in chosen.text
    assert 'href="?to=kari&amp;lang=nb"' in chosen.text
    assert '<html lang="en"' in (await client.get("/console/login")).text, "the cookie remembers"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "nb"),
        ("en", "en"),
        ("en-GB,en;q=0.9", "en"),
        ("nn,en;q=0.5", "nb"),
        ("de,en;q=0.3,nb;q=0.2", "en"),
        ("en;q=x,no", "nb"),
        ("de", "nb"),
        ("*", "nb"),
    ],
)
def test_language_of_the_browser(header: str, language: str) -> None:
    assert preferred(header) == language


def test_both_languages_have_every_word() -> None:
    assert set(NORWEGIAN) == set(ENGLISH)
    assert all(text.strip() for texts in TEXTS.values() for text in texts.values())


async def test_a_moved_clock_is_told() -> None:
    async with await open_client(KeptMessages(), shift=7) as client:
        assert "21. mars 2031 kl. 09:00:41" in (await client.get("/console/inbox")).text
    async with await open_client(KeptMessages()) as client:
        assert NORWEGIAN["clock_moved"] not in (await client.get("/console/inbox")).text


class _Labels(HTMLParser):
    """Collects what must hang together in a page for people who do not see it."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: list[str] = []
        self.labels: list[str] = []
        self.headings: list[str] = []
        self.ids: list[str] = []
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "input" and given.get("type") != "hidden":
            self.fields.append(given.get("id") or "")
        if tag == "label":
            self.labels.append(given.get("for") or "")
        if tag == "h1":
            self.headings.append(tag)
        if given.get("id"):
            self.ids.append(given["id"] or "")
        if tag in ("nav", "section") and not given.get("aria-label"):
            self.problems.append(f"{tag} without a name")
        if tag == "iframe" and not given.get("title"):
            self.problems.append("iframe without a title")
        if any(name.startswith("on") or name == "style" for name in given):
            self.problems.append(f"inline script or style on {tag}")


async def test_pages_are_labelled(client: httpx2.AsyncClient, inbox: KeptMessages) -> None:
    inbox.messages.append(email(html="<p>Hei</p>"))
    paths = ["/console/login", "/console/inbox", "/console/inbox/empty"]
    paths += [f"/console/inbox/{message.id}" for message in inbox.messages]
    for path in paths:
        seen = _Labels()
        seen.feed((await client.get(path)).text)
        assert seen.problems == [], path
        assert len(seen.headings) == 1, path
        assert set(seen.fields) <= set(seen.labels), path
        assert len(seen.ids) == len(set(seen.ids)), path
        assert "content" in seen.ids, path


async def test_pages_name_only_own_files(client: httpx2.AsyncClient) -> None:
    page = (await client.get("/console/inbox")).text
    linked = re.findall(r'(?:src|href)="([^"?#]*)', page)
    assert all(not url or url.startswith("/console") for url in linked)
    for url in linked:
        if url.startswith("/console/static/"):
            assert (await client.get(url)).status_code == 200, url
