"""Rules that an order must keep, checked before anything is sent (docs/reference/notifications-api.md 3.4).

Only what every server of the contract refuses is refused here. Messages never show a value: it is somebody's address.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, get_args
from urllib.parse import parse_qs, unquote, urlsplit

from ._environments import is_loopback
from ._errors import InvalidOrder

_RUN = r"[A-Za-z0-9æøåÆØÅ!#$%&;'*+\-=?^_`{|}~]+"
_LABEL = r"[A-Za-z0-9æøåÆØÅ](?:[A-Za-z0-9æøåÆØÅ-]{0,61}[A-Za-z0-9æøåÆØÅ])?"
_EMAIL = re.compile(
    rf"{_RUN}(?:\.{_RUN})*@(?:(?:{_LABEL}\.){{1,9}}[A-Za-z]{{2,14}}|[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}})"
)
_PHONE = re.compile(r"(?:\+|00)[0-9][0-9 ]{3,30}")
_RESOURCE = "urn:altinn:resource:"
_IDENTITY_EMAIL = "urn:altinn:person:idporten-email:"
_IDENTITIES = (
    _IDENTITY_EMAIL,
    "urn:altinn:person:legacy-selfidentified:",
    "urn:altinn:username:",
    "urn:altinn:party:username:",
)
_V1_HOST = re.compile(r"(?:[^.\s]+\.)+[A-Za-z]{2,}")

#: MIME types of attachments (docs/reference/notifications-api.md 3.7), in lower case.
MIME_TYPES = frozenset(
    [
        "application/epub+zip",
        "application/gzip",
        "application/json",
        "application/msword",
        "application/ogg",
        "application/onenote",
        "application/pdf",
        "application/rtf",
        "application/vnd.ms-excel",
        "application/vnd.ms-excel.sheet.binary.macroenabled.12",
        "application/vnd.ms-excel.sheet.macroenabled.12",
        "application/vnd.ms-fontobject",
        "application/vnd.ms-outlook",
        "application/vnd.ms-powerpoint",
        "application/vnd.ms-powerpoint.presentation.macroenabled.12",
        "application/vnd.ms-powerpoint.slideshow.macroenabled.12",
        "application/vnd.ms-publisher",
        "application/vnd.ms-word.document.macroenabled.12",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "application/vnd.openxmlformats-officedocument.presentationml.slideshow",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/vnd.visio",
        "application/x-7z-compressed",
        "application/x-rar-compressed",
        "application/x-tar",
        "application/xml",
        "application/zip",
        "audio/aac",
        "audio/midi",
        "audio/mpeg",
        "audio/ogg",
        "audio/opus",
        "audio/wav",
        "audio/webm",
        "audio/x-ms-wma",
        "font/otf",
        "font/ttf",
        "font/woff",
        "font/woff2",
        "image/bmp",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/svg+xml",
        "image/tiff",
        "image/vnd.microsoft.icon",
        "image/webp",
        "text/calendar",
        "text/csv",
        "text/plain",
        "text/xml",
        "video/3gpp",
        "video/3gpp2",
        "video/mp4",
        "video/mpeg",
        "video/ogg",
        "video/webm",
        "video/x-ms-wmv",
        "video/x-msvideo",
    ]
)


def text(value: str, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidOrder(field, f"must be a text, not {type(value).__name__}")
    if not value.strip():
        raise InvalidOrder(field, "must not be blank")
    if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
        raise InvalidOrder(field, "holds a character that no message can carry")
    return value


def kind(value: Any, wanted: type | UnionType, field: str) -> None:
    """One of the classes that belong there; type checkers say it earlier, but not everybody runs one."""
    if not isinstance(value, wanted):
        names = " or ".join(
            "None" if one is NoneType else one.__name__ for one in get_args(wanted) or (wanted,)
        )
        raise InvalidOrder(field, f"must be {names}, not {type(value).__name__}")


def kinds(values: Any, wanted: type, field: str) -> None:
    """A list or tuple of them."""
    if not isinstance(values, list | tuple):
        raise InvalidOrder(field, f"must be a list of {wanted.__name__}")
    for index, one in enumerate(values):
        kind(one, wanted, f"{field}[{index}]")


def member(value: Any, wanted: type[StrEnum], field: str) -> None:
    """A member of the enumeration, or its value as text; or nothing."""
    if value is not None and value not in tuple(wanted):
        raise InvalidOrder(
            field, f"must be one of {', '.join(f'{wanted.__name__}.{one.name}' for one in wanted)}"
        )


def whole(value: Any, least: int, most: int | None, field: str) -> None:
    """A whole number between two others."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or value < least
        or (most is not None and value > most)
    ):
        raise InvalidOrder(
            field, f"must be {least} or more" if most is None else f"must be {least} to {most}"
        )


def email(value: str, field: str) -> str:
    if not _EMAIL.fullmatch(text(value, field).strip()):
        raise InvalidOrder(field, "is not an e-mail address")
    return value


def phone(value: str, field: str) -> str:
    """Only the shape; the server knows the numbering plans."""
    if not _PHONE.fullmatch(text(value, field)):
        raise InvalidOrder(field, "is not an international number; write it with + and the country code")
    return value


def digits(value: str, count: int, field: str) -> str:
    if not isinstance(value, str) or len(value) != count or not (value.isascii() and value.isdigit()):
        raise InvalidOrder(field, f"must be a text of {count} digits")
    return value


def resource(value: str | None, action: str | None) -> None:
    if value is not None and (not value.startswith(_RESOURCE) or len(value) == len(_RESOURCE)):
        raise InvalidOrder("resource", f"must be {_RESOURCE} and a name")
    check_action(value, action)


def check_action(value: str | None, action: str | None) -> None:
    if action is not None and (not action.strip() or not (value or "").strip()):
        raise InvalidOrder("resource_action", "needs a resource and must not be blank")


def identity(value: str) -> str:
    prefix = next((one for one in _IDENTITIES if value.startswith(one)), None)
    if prefix is None:
        raise InvalidOrder("identity", f"must begin with one of {', '.join(_IDENTITIES)}")
    name = unquote(value.removeprefix(prefix))
    if prefix == _IDENTITY_EMAIL:
        email(name, "identity")
    text(name, "identity")
    return value


def moment(value: datetime | None, field: str) -> None:
    if value is None:
        return
    if not isinstance(value, datetime):
        raise InvalidOrder(field, "must be a datetime")
    if value.utcoffset() is None:
        raise InvalidOrder(field, "needs a time zone, such as datetime.UTC")


def condition(value: str | None, *, classic: bool = False) -> None:
    if value is None:
        return
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        raise InvalidOrder("condition", "must be an absolute http or https address")
    if classic and not _V1_HOST.fullmatch(host):
        raise InvalidOrder("condition", "must name a host with a domain")


def filename(value: str) -> str:
    stem, dot, extension = text(value, "filename").rpartition(".")
    if not dot or not extension or "/" in stem + extension or "\\" in stem + extension:
        raise InvalidOrder("filename", "needs an extension and no slash")
    return value


def mime_type(value: str) -> str:
    if text(value, "mime_type").lower() not in MIME_TYPES:
        raise InvalidOrder("mime_type", "is not accepted for attachments")
    return value


def sas_url(value: str) -> datetime:
    """When the link ends. It must be a readable, signed link to one blob."""
    try:
        parts = urlsplit(value)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        host = parts.hostname
    except ValueError:
        raise InvalidOrder("sas_url", "is not an address") from None
    # A sandbox keeps its files on this machine.
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        raise InvalidOrder("sas_url", "must be an absolute https address")
    if not all(query.get(name, "").strip() for name in ("se", "sp", "sig")):
        raise InvalidOrder("sas_url", "lacks one of se, sp and sig")
    if query.get("sr", "").lower() != "b" or "r" not in query["sp"]:
        raise InvalidOrder("sas_url", "must give read access to one blob (sr=b, sp with r)")
    try:
        ends = datetime.fromisoformat(query["se"])
    except ValueError:
        raise InvalidOrder("sas_url", "has an end (se) that is not a time") from None
    if ends.utcoffset() is None:
        raise InvalidOrder("sas_url", "has an end (se) without a time zone")
    return ends


def lives_long_enough(ends: datetime, send_at: datetime | None) -> None:
    """Only against a given time: the clock that counts is the server's."""
    if send_at is not None and ends < send_at + timedelta(minutes=15):
        raise InvalidOrder("sas_url", "must live until 15 minutes after send_at")


def wire_time(value: datetime) -> str:
    """ISO 8601 with `Z` for UTC, and a fraction only where there is one."""
    written = value.isoformat()
    if value.microsecond:
        head, _, tail = written.partition(".")
        written = head + "." + tail[:6].rstrip("0") + tail[6:]
    return written.removesuffix("+00:00") + "Z" if written.endswith("+00:00") else written
