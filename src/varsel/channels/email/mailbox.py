"""A mailbox that bounces arrive in, read over IMAP (RFC 3501): for installations whose mail cannot be sent on by SMTP.

Everything here blocks and belongs into a thread. What was read is marked as seen once it is kept, and nothing is deleted: how long
mail stays is the mailbox's own rule.
"""

from __future__ import annotations

import contextlib
import imaplib
import itertools
import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from typing import Final, Literal, Self

from varsel.channels.email.bounces import READ_OCTETS
from varsel.channels.email.connect import LOOPBACK
from varsel.channels.urls import ProviderUrl, ProviderUrlError, read_provider_url

Tls = Literal["implicit", "starttls", "none"]

_SCHEMES: Final[dict[str, tuple[Tls, int]]] = {
    "imaps": ("implicit", 993),
    "imap+starttls": ("starttls", 143),
    "imap": ("none", 143),
}
_SECONDS: Final = 30.0
_RECIPIENTS: Final = 100  # of one mail, as over SMTP (RFC 5321 4.5.3.1.8)
_ADDRESSED: Final = ("Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "To", "Cc")
# From the beginning of a word alone, and no longer than an address is (RFC 5321 4.5.3.1): what stands in a header is anything.
_ADDRESS = re.compile(r"(?<![A-Za-z0-9-])[A-Za-z0-9-]{1,64}@[A-Za-z0-9.-]{1,255}")


class MailboxError(Exception):
    """The mailbox cannot be read; the text names no mail and no password."""


@dataclass(frozen=True, slots=True)
class MailboxEndpoint:
    """Where the mailbox is and how to log on."""

    host: str
    port: int
    tls: Tls
    user: str
    password: str = field(repr=False)
    folder: str
    ca_file: str = ""

    @classmethod
    def read(cls, text: str) -> Self:
        """From a URL as `imaps://user:password@host/INBOX`. Raises ProviderUrlError."""
        url: ProviderUrl = read_provider_url(text, frozenset({"ca_file"}))
        if url.scheme not in _SCHEMES:
            known = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
            raise ProviderUrlError(
                f"The mailbox at {url.shown_host} has an unknown scheme; known are {known}."
            )
        tls, port = _SCHEMES[url.scheme]
        if not url.user:
            raise ProviderUrlError(f"The mailbox at {url.shown_host} needs a user and a password.")
        if tls == "none" and url.host not in LOOPBACK:
            raise ProviderUrlError(
                f"The mailbox at {url.shown_host} needs imaps:// or imap+starttls://: the password is not sent in clear."
            )
        folder = url.path.strip("/") or "INBOX"
        if '"' in folder or "\\" in folder or not folder.isascii() or not folder.isprintable():
            raise ProviderUrlError(f"The mailbox at {url.shown_host} has a folder name that cannot be used.")
        return cls(
            url.host, url.port or port, tls, url.user, url.password, folder, url.options.get("ca_file", "")
        )


@dataclass(frozen=True, slots=True)
class Letter:
    """One unread mail: to whom it was addressed, and whether it came with the null sender of a bounce."""

    uid: str
    recipients: tuple[str, ...] = field(repr=False)
    from_nobody: bool
    content: bytes = field(repr=False)


class Mailbox:
    """One visit: `with Mailbox(endpoint) as mailbox`. Every call may raise MailboxError."""

    def __init__(self, endpoint: MailboxEndpoint) -> None:
        self._endpoint = endpoint
        self._imap: imaplib.IMAP4 | None = None

    def open(self) -> None:
        """Connect, log on, choose the folder."""
        end = self._endpoint
        with _as_mailbox_error():
            if end.tls == "implicit":
                self._imap = imaplib.IMAP4_SSL(end.host, end.port, ssl_context=_tls(end), timeout=_SECONDS)
            else:
                self._imap = imaplib.IMAP4(end.host, end.port, timeout=_SECONDS)
            if end.tls == "starttls":
                self._imap.starttls(_tls(end))
            self._log_on(self._imap)
            self._ok(self._imap.select(f'"{end.folder}"'))

    def _log_on(self, imap: imaplib.IMAP4) -> None:
        user, password = self._endpoint.user, self._endpoint.password
        if user.isascii() and password.isascii():
            imap.login(user, password)
        else:
            # LOGIN knows ASCII only; PLAIN is UTF-8 (RFC 4616 2).
            imap.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())

    def unread(self, most: int) -> list[Letter]:
        """The first unread mails."""
        with _as_mailbox_error():
            imap = self._opened()
            found = self._ok(imap.uid("SEARCH", "UNSEEN"))[0]
            uids = found.decode("ascii", "replace").split() if isinstance(found, bytes) else []
            return [letter for uid in uids[:most] if (letter := self._fetch(imap, uid)) is not None]

    def mark(self, uids: Sequence[str]) -> None:
        """These are kept: they are not read again."""
        if uids:
            with _as_mailbox_error():
                self._ok(self._opened().uid("STORE", ",".join(uids), "+FLAGS.SILENT", r"(\Seen)"))

    def close(self) -> None:
        """Leave; whatever happens now decides nothing."""
        imap, self._imap = self._imap, None
        if imap is not None:
            with contextlib.suppress(imaplib.IMAP4.error, OSError):
                imap.logout()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self) -> imaplib.IMAP4:
        if self._imap is None:
            raise MailboxError("the mailbox is not open")
        return self._imap

    @staticmethod
    def _ok(answer: tuple[str, Sequence[object]]) -> Sequence[object]:
        said, found = answer
        if said != "OK":
            raise MailboxError(f"the server said {said[:20]}")
        return found

    def _fetch(self, imap: imaplib.IMAP4, uid: str) -> Letter | None:
        for part in self._ok(imap.uid("FETCH", uid, f"(BODY.PEEK[]<0.{READ_OCTETS}>)")):
            if isinstance(part, tuple) and len(part) > 1 and isinstance(part[1], bytes):
                return _letter(uid, part[1][:READ_OCTETS])
        return None  # taken away meanwhile


def _letter(uid: str, content: bytes) -> Letter:
    head = BytesHeaderParser().parsebytes(content)
    addressed = (str(value) for name in _ADDRESSED for value in head.get_all(name, ()))
    found = (one[0] for value in addressed for one in _ADDRESS.finditer(value))
    recipients = dict.fromkeys(itertools.islice(found, _RECIPIENTS))
    returned = str(head["Return-Path"] or "").strip()
    return Letter(uid, tuple(recipients), returned == "<>", content)


def _tls(endpoint: MailboxEndpoint) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=endpoint.ca_file or None)


@contextlib.contextmanager
def _as_mailbox_error() -> Iterator[None]:
    try:
        yield
    except imaplib.IMAP4.error:
        # Servers like to quote the user in what they say.
        raise MailboxError("the server refused") from None
    except OSError as error:
        raise MailboxError(f"no connection ({type(error).__name__})") from None
