"""Where a login may lead (docs/reference/identity.md 7.4, 10.5 line 66): our own host or below it, nothing that looks like it."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

_PLAIN: Final = re.compile(r"[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]{1,2048}")
_HOST: Final = re.compile(r"[a-z0-9.-]+")


def safe_target(goto: str | None, base_url: str) -> str | None:
    """`goto` when it is an absolute address of the platform's own scheme and host or a subdomain of it."""
    base = urlsplit(base_url)
    if goto is None or _PLAIN.fullmatch(goto) is None:
        return None
    try:
        parts = urlsplit(goto)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    own = (base.hostname or "").lower()
    if parts.scheme != base.scheme or "@" in parts.netloc or _HOST.fullmatch(host) is None:
        return None
    if port != base.port or not (host == own or host.endswith("." + own)):
        return None
    return goto
