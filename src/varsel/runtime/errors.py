"""The error tree. The docstring of a class is its default message.

VarselError
├── OperatorError          one sentence for the person at the terminal; the program ends with `exit_code`
│   └── SettingsError
├── Unavailable            a dependency does not answer; callers get 503
│   ├── DatabaseUnavailable
│   └── RegisterUnavailable
└── Problem                an answer to an HTTP caller (docs/reference/notifications-api.md 1.7)
    ├── EmptyProblem       status without a body
    ├── PlainProblem       status problem, 1.7.3
    ├── BodyProblem        status with a body of its own, 1.7.5 and 1.7.6
    ├── ValidationProblem  400 with keys, 1.7.1
    └── CodedProblem       domain error with a NOT-… code, 1.7.2
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar


class VarselError(Exception):
    """Something went wrong in Varsel."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class OperatorError(VarselError):
    """Varsel cannot do that here."""

    exit_code: ClassVar[int] = 1


class SettingsError(OperatorError):
    """A setting is unknown or malformed."""

    exit_code = 2


class Unavailable(VarselError):
    """Something that Varsel depends on does not answer."""

    retry_after: ClassVar[int] = 5


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""


class RegisterUnavailable(Unavailable):
    """A contact register does not answer."""

    retry_after = 60

    def __init__(self, *, spared_for: float | None = None) -> None:
        """`spared_for`: it was not asked at all, and will not be for so many seconds."""
        super().__init__()
        self.spared_for = spared_for


class Problem(VarselError):
    """An HTTP answer that is not a success."""

    status: int = 500
    headers: tuple[tuple[bytes, bytes], ...] = ()


class EmptyProblem(Problem):
    """A status without a body."""

    def __init__(self, status: int, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__()
        self.status = status
        self.headers = headers


class PlainProblem(Problem):
    """A status with its standard title."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class BodyProblem(Problem):
    """A status with a body of its own."""

    def __init__(
        self, status: int, body: bytes, content_type: bytes = b"application/json; charset=utf-8"
    ) -> None:
        super().__init__()
        self.status = status
        self.body = body
        self.content_type = content_type


class ValidationProblem(Problem):
    """One or more validation errors occurred."""

    status = 400

    def __init__(self, errors: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.errors = errors


class CodedProblem(Problem):
    """A domain error with a code; see `varsel.runtime.problems.CODES`."""

    def __init__(self, code: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(code)
        self.code = code
        self.headers = headers
