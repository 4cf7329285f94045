"""Rules for e-mail addresses and telephone numbers (docs/reference/notifications-api.md 3.4, docs/reference/delivery.md 3.3). Pure."""

from __future__ import annotations

import re
from typing import Final

from varsel.runtime.phones import look_up

#: White space as .NET counts it; Python's `isspace` also takes the four information separators.
WHITE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"

# What nearly every address looks like: told by one match, and all of it within the rule below.
_PLAIN: Final = re.compile(
    r"[A-Za-z0-9_+\-]+(?:\.[A-Za-z0-9_+\-]+)*@(?:[A-Za-z0-9]{1,63}\.){1,9}[A-Za-z]{2,14}"
)
_PLAIN_UP_TO: Final = 254
_LOCAL: Final = re.compile(r"[A-Za-z0-9æøåÆØÅ!#$%&;'*+\-=?^_`{|}~.]+")
_LABEL: Final = r"[A-Za-z0-9æøåÆØÅ](?:[A-Za-z0-9æøåÆØÅ\-]{0,61}[A-Za-z0-9æøåÆØÅ])?"
_DOMAIN: Final = re.compile(rf"(?:{_LABEL}\.){{1,9}}[A-Za-z]{{2,14}}|(?:[0-9]{{1,3}}\.){{3}}[0-9]{{1,3}}")
#: Nine labels of 63, a top label of 14, and the dots between.
_LONGEST_DOMAIN: Final = 9 * 64 + 14
_WINDOW: Final = 65_536

# Norwegian mobile numbers without inner spaces, as in libphonenumber's metadata; a test compares the two. Everything else
# asks the library itself.
_NORWEGIAN_MOBILE: Final = re.compile(r"(?:\+|00)47(?:4[016-8]|9[0-9])[0-9]{6}")


def blank(text: str | None) -> bool:
    """Null, empty or only white space."""
    if not text or len(text) <= _WINDOW:
        return not text or (text.isspace() and not text.strip(WHITE))
    return not trimmed(text)


def trimmed(text: str) -> str:
    """The text without white space around it; window by window, because it may be millions of spaces."""
    if len(text) <= _WINDOW:
        return text.strip(WHITE)
    start, end = 0, len(text)
    while start < end:
        window = text[start : min(start + _WINDOW, end)]
        kept = len(window.lstrip(WHITE))
        start += len(window) - kept
        if kept:
            break
    while start < end:
        window = text[max(end - _WINDOW, start) : end]
        kept = len(window.rstrip(WHITE))
        end -= len(window) - kept
        if kept:
            break
    return text[start:end]


def email_is_valid(text: str) -> bool:
    """Whether the whole of `text`, surrounding white space aside, is one e-mail address."""
    if len(text) <= _PLAIN_UP_TO and _PLAIN.fullmatch(text) is not None:
        return True
    local, at, domain = trimmed(text).rpartition("@")
    if not at or not local or len(domain) > _LONGEST_DOMAIN or _DOMAIN.fullmatch(domain) is None:
        return False
    if local[0] == "." or local[-1] == "." or ".." in local:
        return False
    # There is no overall limit; windows keep one match from holding the interpreter for long.
    return all(
        _LOCAL.fullmatch(local, start, start + _WINDOW) is not None for start in range(0, len(local), _WINDOW)
    )


def phone_is_valid(text: str) -> bool:
    """Whether `text` is a valid number with country prefix, for its region."""
    if _NORWEGIAN_MOBILE.fullmatch(text) is not None:
        return True
    known = look_up(text)
    return known is not None and known.valid


def load_library() -> None:
    """Load what the first foreign number needs: up to 64 ms, for a thread while a process starts."""
    look_up("+46701234567")


def register_number(text: str | None) -> str | None:
    """A number from a contact register: `00` becomes `+`, eight digits that begin with 4 or 9 get `+47`; None when still invalid."""
    if text is None:
        return None
    if text.startswith("00"):
        text = "+" + text[2:]
    elif len(text) == 8 and text[0] in "49":
        text = "+47" + text
    return text if phone_is_valid(text) else None
