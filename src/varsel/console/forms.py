"""Forms that pages send: bounded, decoded once, with the token that only our own pages know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request

from varsel.identity import http

LARGEST: Final = 128 * 1024
_FIELDS: Final = 250


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form; never in a log, because people paste keys into them."""

    fields: Mapping[str, Sequence[str]] = field(repr=False)

    def one(self, name: str) -> str:
        """The first value, without a browser's line ends; empty when there is none."""
        values = self.fields.get(name, ())
        return values[0].replace("\r\n", "\n") if values else ""

    def all(self, name: str) -> list[str]:
        return list(self.fields.get(name, ()))

    def number(self, name: str) -> int:
        """A version; 0, which is no version, for anything else."""
        text = self.one(name)
        return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else 0


async def read_form(request: Request) -> Form | None:
    """The form of a request; None when it is none, or too large."""
    if http.media_type(request) != "application/x-www-form-urlencoded":
        return None
    body = await http.body(request, LARGEST)
    if body is None:
        return None
    try:
        return Form(parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=_FIELDS))
    except ValueError:
        return None
