"""The one error of the embedded database."""

from __future__ import annotations

from varsel.runtime.errors import OperatorError


class EmbeddedError(OperatorError):
    """The embedded database could not be used."""
