"""Refusals of the OpenID provider (RFC 6749 4.1.2.1 and 5.2)."""

from __future__ import annotations

from varsel.runtime.errors import VarselError


class OpenIdError(VarselError):
    """An OAuth error with its code and a sentence."""

    def __init__(self, error: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.error = error
        self.text = text
        self.status = status


class UntrustedRequest(OpenIdError):
    """Told on a page of our own: the address to return to is not, or not yet, trusted."""
