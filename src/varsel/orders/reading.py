"""From the bytes of a request to its structure (docs/reference/notifications-api.md 1.4; stage 3 of 1.6).

The common body, spelled exactly as documented, costs one call of the fast decoder. Everything else (other case, unknown members,
quoted numbers, errors of any kind) is read again by the tolerant reader, which alone knows what the contract makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from varsel.orders.moments import Moment, read_moment
from varsel.orders.tolerant import Null, Reader, Refused
from varsel.runtime.errors import ValidationProblem
from varsel.store.long_texts import LONG, decoded_slices, in_slices

T = TypeVar("T", bound=msgspec.Struct)

#: Above this many bytes the fast decoder would hold the interpreter for longer than the event loop may wait.
_FAST_UP_TO: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """A request as read. `odd`: some text holds NUL or an unpaired surrogate, and the rules must say where."""

    value: T
    odd: bool


def _decode_custom(kind: type, value: Any) -> Any:
    if kind is Moment and isinstance(value, str):
        moment = read_moment(value)
        if moment is not None:
            return moment
    raise ValueError("left to the tolerant reader")


def _encode_custom(value: Any) -> Any:
    if isinstance(value, Moment):
        return value.at
    raise TypeError(f"requests hold no {type(value).__name__}")


_encoder: Final = msgspec.json.Encoder(enc_hook=_encode_custom)


def normalised(value: msgspec.Struct, size: int = 0) -> bytes:
    """The same bytes for every spelling of the same request: what tells a repeat with another body. `size`: octets as it came."""
    return _encoder.encode(in_slices(value) if size > LONG else value)


class RequestReader(Generic[T]):
    """Reads the bodies of one endpoint; `body_name` is the second key of its errors."""

    def __init__(self, cls: type[T], body_name: str) -> None:
        self._cls = cls
        self._body_name = body_name
        self._decoder = msgspec.json.Decoder(cls, dec_hook=_decode_custom)

    def read(self, body: bytes) -> Request[T]:
        """The request; ValidationProblem with the keys of stage 3."""
        if len(body) <= _FAST_UP_TO:
            try:
                return Request(self._decoder.decode(body), b"\\u0000" in body)
            except ValueError:  # DecodeError, ValidationError, UnicodeDecodeError
                pass
        if not body:
            raise self._problem("", "A non-empty request body is required.")
        reader = Reader(body)
        try:
            request = Request(reader.read(self._cls), reader.odd)
        except Null:
            raise self._problem("", "A non-empty request body is required.") from None
        except Refused as refused:
            raise self._problem(refused.path, refused.why) from None
        if not body.isascii():
            # What is ignored is passed over without being looked at, and is part of the body all the same.
            try:
                for _ in decoded_slices(body):
                    pass
            except UnicodeDecodeError:
                raise self._problem("$", "The body is not UTF-8.") from None
        return request

    def _problem(self, key: str, why: str) -> ValidationProblem:
        return ValidationProblem({key: [why], self._body_name: [f"The {self._body_name} field is required."]})
