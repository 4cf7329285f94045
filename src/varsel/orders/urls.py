"""Rules for URLs in requests (docs/reference/notifications-api.md 2.11 and 3.4). Pure; nothing is fetched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from varsel.orders.moments import read_moment
from varsel.recipients.addresses import blank

# White space, controls, and what RFC 3986 keeps out of a URI; letters beyond ASCII stand for themselves (RFC 3987).
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f-\xa0\"<>\\^`{|}\ud800-\udfff]|%(?![0-9A-Fa-f]{2})")
_DOTTED_HOST: Final = re.compile(r"[^.]+(?:\.[^.]+)*\.[A-Za-z]{2,}")
#: Longer than any server reads; keeps one match short.
_LONGEST: Final = 65_536
#: How long a file must stay readable after the send time (2.11).
FILE_MARGIN: Final = timedelta(minutes=15)


def _split(text: str, schemes: Sequence[str]) -> SplitResult | None:
    """The parts of an absolute, well-formed URL of one of `schemes` (lower case)."""
    if len(text) > _LONGEST or _FORBIDDEN.search(text):
        return None
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        return None
    return parts if parts.scheme in schemes and parts.hostname else None


def url_is_valid(text: str) -> bool:
    """The v2 rule: absolute, well-formed, http or https in any case; the host may have any form."""
    return _split(text, ("http", "https")) is not None


def dotted_url_is_valid(text: str) -> bool:
    """The v1 rule: as v2, and the host is a name with a dot and a final label of at least two ASCII letters."""
    parts = _split(text, ("http", "https"))
    return parts is not None and _DOTTED_HOST.fullmatch(parts.hostname or "") is not None


@dataclass(frozen=True, slots=True)
class FileUrl:
    """A pre-signed blob URL as far as it could be judged. `faults` are sentences without any part of the URL: it is a secret."""

    faults: tuple[str, ...]
    expires_at: datetime | None = None

    def too_short_for(self, send_at: datetime) -> bool:
        """Whether it ends less than 15 minutes after the send time."""
        try:
            return self.expires_at is not None and self.expires_at < send_at + FILE_MARGIN
        except OverflowError:
            return True


def judge_file_url(text: str, hosts: Sequence[str]) -> FileUrl:
    """The four checks of a `sasUrl`, in order; a later one runs only when the earlier ones passed. `hosts` are allowed suffixes, or
    whole origins as `http://127.0.0.1:5091`, which the sandbox adds for the file store of its own.
    """
    parts = _split(text, ("https", "http"))
    origin = f"{parts.scheme}://{parts.netloc}".lower() if parts else ""
    if origin not in hosts:
        if parts is None or parts.scheme != "https":
            return FileUrl(("An absolute https address is required.",))
        host = (parts.hostname or "").lower()
        if not any(host.endswith(suffix.lower()) for suffix in hosts):
            return FileUrl(("The host is not one of the allowed file stores.",))
    assert parts is not None
    signed: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        signed.setdefault(name.lower(), value)
    if any(blank(signed.get(name)) for name in ("se", "sp", "sig")) or signed.get("sr", "").lower() != "b":
        return FileUrl(("The address must be signed for one file, with an expiry and permissions.",))
    faults = []
    expiry = read_moment(signed["se"].strip())
    if expiry is None:
        faults.append("The expiry of the address is not a date.")
    if "r" not in signed["sp"]:
        faults.append("The address does not permit reading.")
    return FileUrl(tuple(faults), expiry.at if expiry else None)
