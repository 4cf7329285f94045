"""Attachments of `varsel order composed`, as they are written on the command line."""

from __future__ import annotations

import mimetypes
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from varsel.cli.calling import WrongInput, text_of

if TYPE_CHECKING:
    from varsel.client import Attachment

_NAMED: Final = re.compile(r"([^=/?@]+\.[^=/?@]+)=(.+)", re.DOTALL)


def attachment(text: str) -> Attachment:
    """`ADDRESS`, `@FILE`, `NAME=ADDRESS` or `NAME=@FILE`. The MIME type follows from the name."""
    from varsel.client import Attachment

    named = _NAMED.fullmatch(text)
    address = text_of(named[2] if named else text).strip()
    name = named[1] if named else PurePosixPath(unquote(urlsplit(address).path)).name
    kind, _ = mimetypes.guess_type(name)
    if kind is None:
        # Never the address itself: whoever reads it may read the file.
        raise WrongInput(
            f"No MIME type is known for the attachment {name!r}; give it a name with a known ending: NAME=ADDRESS."
        )
    return Attachment(name, kind, address)
