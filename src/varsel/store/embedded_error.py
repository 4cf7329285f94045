"""The one error of the embedded database, in words for operators."""

from __future__ import annotations


class EmbeddedError(Exception):
    """The embedded database could not be used."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)
