"""Refusals of the self-service API (docs/reference/identity.md 3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from varsel.runtime.errors import VarselError


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault, with the member it concerns."""

    field: str
    text: str
    object: str = "Client"


class SelfServiceError(VarselError):
    """The self-service API says no."""

    def __init__(self, status: int, error: str, text: str, fields: Sequence[FieldError] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.error = error
        self.text = text
        self.fields = tuple(fields)


def invalid(*fields: FieldError) -> SelfServiceError:
    """400: the body breaks a rule."""
    return SelfServiceError(400, "invalid_request", "; ".join(field.text for field in fields), fields)


def not_found(what: str = "client") -> SelfServiceError:
    """404: it does not exist, or belongs to somebody else; the two look alike."""
    return SelfServiceError(404, "not_found", f"There is no such {what}.")


def forbidden(text: str) -> SelfServiceError:
    return SelfServiceError(403, "forbidden", text)


def conflict(text: str) -> SelfServiceError:
    return SelfServiceError(409, "conflict", text)


def stale() -> SelfServiceError:
    """412: If-Match names a version that is no longer the current one."""
    return SelfServiceError(
        412, "precondition_failed", "Somebody else has changed this. Read it again, then repeat the change."
    )
