"""The tolerant reader: JSON as the public API reads it, into the structures of `varsel.orders.wire`.

docs/reference/notifications-api.md 1.4 and 1.7.1. It reads the document once, from the front, and stops at the first point that is not JSON or does not fit the
structure, because that point names the error. It is linear in the size of the body, and no single step of it takes long: strings,
numbers and white space are matched in windows, so that a thread with a 30 MB body lets the event loop run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import inspect as shapes

from varsel.orders.moments import Moment, read_moment
from varsel.orders.wire import NUMBERS, V1
from varsel.store.long_texts import decoded, let_go

DEPTH: Final = 32
_WINDOW: Final = 65_536
_INT32: Final = 2**31

_SPACE: Final = re.compile(rb"[ \t\n\r]*+")
_DIGITS: Final = re.compile(rb"[0-9]*+")
# No possessive groups: Python before 3.11.5 matches them wrongly (CPython issue 106052). Nothing follows the groups, and every match has
# a window, so that backtracking is neither needed nor dear.
_STRING: Final = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
# Runs of flat values, each with its comma, that nobody asked for: passed at once, because a body may hold millions.
_FLAT: Final = (
    rb'[ \t\n\r]*+(?:"[^"\\\x00-\x1f]*+"|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null)'
    rb"[ \t\n\r]*+,"
)
_FLAT_ITEMS: Final = re.compile(rb"(?:" + _FLAT + rb")*")
_FLAT_MEMBERS: Final = re.compile(rb'(?:[ \t\n\r]*+"[^"\\\x00-\x1f]*+"[ \t\n\r]*+:' + _FLAT + rb")*")
_INTEGER: Final = re.compile(rb"-?(?:0|[1-9][0-9]{0,15})(?![0-9.eE])")
_QUOTED_INTEGER: Final = re.compile(r"([+-]?)0*([0-9]{1,10})", re.ASCII)
_ESCAPE: Final = re.compile(r"((?:\\u[0-9a-fA-F]{4}){1,1000})|\\([^u])")
_SIMPLE: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_AFTER_NUMBER: Final = frozenset(b",]} \t\r\n")
#: Characters that make a name stand in brackets in a path.
_BRACKETED: Final = re.compile(r"[.' /\"\[\]()\t\n\r\f\b\\\u0085\u2028\u2029]")
_QUOTE: Final = 0x22
_BOM: Final = b"\xef\xbb\xbf"


class Refused(Exception):
    """The body does not fit. `path` is the JSON path of the first failing point, `why` a sentence."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(why)
        self.path = path
        self.why = why


class Null(Exception):
    """The body is JSON `null`."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a value must be. `null` tells whether null is read as None: always for texts, objects and lists (null is found later)."""

    name: str
    null: bool
    enum: type[StrEnum] | None = None
    words: dict[str, StrEnum] | None = None
    cls: type[msgspec.Struct] | None = None
    item: _Kind | None = None
    pattern: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class _Member:
    attribute: str
    wire: str
    required: bool
    kind: _Kind


@dataclass(frozen=True, slots=True)
class _Shape:
    members: dict[str, _Member]
    required: tuple[_Member, ...]


def _kind_of(shape: shapes.Type, null: bool = False) -> _Kind:
    match shape:
        case shapes.Metadata(type=inner):
            return _kind_of(inner, null)
        case shapes.UnionType(types=types):
            inner = next(t for t in types if not isinstance(t, shapes.NoneType))
            return _kind_of(inner, any(isinstance(t, shapes.NoneType) for t in types))
        case shapes.StrType(pattern=str() as pattern):
            return _Kind("formatted", null, pattern=re.compile(pattern))
        case shapes.StrType():
            return _Kind("text", True)
        case shapes.IntType():
            return _Kind("integer", null)
        case shapes.BoolType():
            return _Kind("boolean", null)
        case shapes.EnumType(cls=enum) if issubclass(enum, StrEnum):
            return _Kind("enum", null, enum=enum, words={str(member).lower(): member for member in enum})
        case shapes.CustomType(cls=cls) if cls is Moment:
            return _Kind("moment", null)
        case shapes.StructType(cls=struct):
            return _Kind("object", True, cls=struct)
        case shapes.ListType(item_type=item):
            return _Kind("list", True, item=_kind_of(item))
    raise TypeError(f"requests have no values of {shape!r}")


@cache
def _shape_of(cls: type[msgspec.Struct]) -> _Shape:
    described = shapes.type_info(cls)
    assert isinstance(described, shapes.StructType)
    members = [
        _Member(field.name, field.encode_name, field.required, _kind_of(field.type))
        for field in described.fields
    ]
    return _Shape(
        {member.wire.lower(): member for member in members},
        tuple(member for member in members if member.required),
    )


def _bracketed(segment: str | int) -> str:
    if isinstance(segment, int):
        return f"[{segment}]"
    return f"['{segment}']" if _BRACKETED.search(segment) else f".{segment}"


def _parts(text: str) -> Iterator[str]:
    """A text in windows that cut no escape: what one call makes of millions of escapes would hold the interpreter."""
    start, size = 0, len(text)
    while start < size:
        end = start + _WINDOW
        if end < size:
            last = text.rfind("\\", max(start, end - 6), end)
            if last >= 0:
                run = text[start : last + 1]
                # An odd number of backslashes: the last one begins an escape.
                if (len(run) - len(run.rstrip("\\"))) % 2:
                    end = last
        yield text[start:end]
        start = end


def _whole_pairs(text: str) -> Iterator[str]:
    """A text in windows that cut no pair of surrogates."""
    start = 0
    while start < len(text):
        end = start + _WINDOW
        if "\ud800" <= text[end - 1 : end] <= "\udbff":
            end += 1
        yield text[start:end]
        start = end


class Reader:
    """Reads one body. After `read`, `odd` tells whether some text holds NUL or an unpaired surrogate."""

    def __init__(self, body: bytes) -> None:
        self._data = body
        self._at = 3 if body.startswith(_BOM) else 0
        self._end = len(body)
        self._path: list[str | int] = []
        self._surrogates = False
        self.odd = False

    def read(self, cls: type[msgspec.Struct]) -> Any:
        """An instance of `cls`; Refused at the first failing point, Null for a body that is `null`."""
        self._space()
        if self._data.startswith(b"null", self._at):
            self._at += 4
            self._space()
            if self._at == self._end:
                raise Null
            raise self._malformed()
        value = self._value(_Kind("object", False, cls=cls), 0)
        self._space()
        if self._at != self._end:
            raise self._malformed()
        return value

    # Where it fails

    def _refused(self, why: str) -> Refused:
        # Segments that came in with broken encoding are shown with replacement characters.
        path = "$" + "".join(map(_bracketed, self._path)).encode("utf-8", "replace").decode()
        return Refused(path, why)

    def _place(self) -> str:
        line = self._data.count(b"\n", 0, self._at)
        column = self._at - (self._data.rfind(b"\n", 0, self._at) + 1)
        return f"line {line}, byte {column}"

    def _malformed(self) -> Refused:
        return self._refused(f"Invalid JSON at {self._place()}.")

    def _unfit(self, wanted: str) -> Refused:
        return self._refused(f"The value at {self._place()} is not {wanted}.")

    # Steps

    def _run(self, pattern: re.Pattern[bytes]) -> None:
        while True:
            window = self._at + _WINDOW
            match = pattern.match(self._data, self._at, window)
            assert match is not None
            self._at = match.end()
            if self._at < window:
                return

    def _space(self) -> None:
        if self._at < self._end and self._data[self._at] <= 0x20:
            self._run(_SPACE)

    def _next(self) -> int:
        """The byte at hand; -1 at the end."""
        return self._data[self._at] if self._at < self._end else -1

    def _literal(self, word: bytes) -> bool:
        if self._data.startswith(word, self._at):
            self._at += len(word)
            return True
        return False

    def _raw_string(self) -> tuple[int, int]:
        """Pass a string whose opening quote is at hand; the range between its quotes."""
        self._at += 1
        start = self._at
        while True:
            window = self._at + _WINDOW
            match = _STRING.match(self._data, self._at, window)
            assert match is not None
            self._at = match.end()
            if self._next() == _QUOTE:
                self._at += 1
                return start, self._at - 1
            # An escape (six bytes at most) may have been cut by the window; anything else that stops a string is an error.
            if self._at >= self._end or self._at <= window - 6 or window >= self._end:
                raise self._malformed()

    def _string(self) -> str:
        start, stop = self._raw_string()
        raw = self._data[start:stop]
        try:
            text = decoded(raw)
        except UnicodeDecodeError:
            self._at = start
            raise self._unfit("UTF-8") from None
        if "\\" in text:
            text = "".join(_ESCAPE.sub(self._unescape, part) for part in _parts(text))
            if self._surrogates:
                self._surrogates = False
                text = "".join(map(self._paired, _whole_pairs(text)))
            if "\x00" in text:
                self.odd = True
        return text

    def _paired(self, text: str) -> str:
        """The two halves of a character as one, where both are there."""
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        try:
            text.encode()
        except UnicodeEncodeError:
            self.odd = True
        return text

    def _unescape(self, match: re.Match[str]) -> str:
        units, simple = match.groups()
        if simple is not None:
            return _SIMPLE.get(simple, simple)
        text = bytes.fromhex(units.replace("\\u", "")).decode("utf-16-be", "surrogatepass")
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._surrogates = True  # its other half may follow after this run
        return text

    # Values

    def _value(self, kind: _Kind, depth: int) -> Any:
        self._space()
        if self._literal(b"null"):
            if kind.null:
                return None
            self._at -= 4
            raise self._unfit("allowed to be null")
        return _READERS[kind.name](self, kind, depth)

    def _read_text(self, _kind: _Kind, _depth: int) -> str:
        if self._next() != _QUOTE:
            raise self._unfit("a string")
        return self._string()

    def _read_formatted(self, kind: _Kind, depth: int) -> str:
        """A text whose form is a matter of reading, not of the rules (UUIDs)."""
        assert kind.pattern is not None
        at = self._at
        text = self._read_text(kind, depth)
        if kind.pattern.fullmatch(text) is None:
            self._at = at
            raise self._unfit("in the form that is asked for")
        return text

    def _read_integer(self, _kind: _Kind, _depth: int) -> int:
        number: int | None = None
        at = self._at
        if self._next() == _QUOTE:
            quoted = _QUOTED_INTEGER.fullmatch(self._string())
            number = int(quoted[1] + quoted[2]) if quoted else None
        elif match := _INTEGER.match(self._data, self._at):
            self._at = match.end()
            if self._at == self._end or self._data[self._at] in _AFTER_NUMBER:
                number = int(match[0])
        if number is None or not -_INT32 <= number < _INT32:
            self._at = at
            raise self._unfit("a whole number of 32 bits")
        return number

    def _read_boolean(self, _kind: _Kind, _depth: int) -> bool:
        if self._literal(b"true"):
            return True
        if self._literal(b"false"):
            return False
        raise self._unfit("true or false")

    def _read_enum(self, kind: _Kind, depth: int) -> StrEnum | int:
        assert kind.words is not None
        assert kind.enum is not None
        at = self._at
        if self._next() == _QUOTE:
            word = self._string().strip()
            member = kind.words.get(word.lower()) if word.isascii() else None
            if member is not None:
                return member
            self._at = at
            if not _QUOTED_INTEGER.fullmatch(word):
                raise self._unfit(f"one of {', '.join(kind.enum)}")
        number = self._read_integer(kind, depth)
        # A number outside the enumeration goes on as it is, for the rules to refuse.
        return NUMBERS[kind.enum].get(number, number)

    def _read_moment(self, _kind: _Kind, _depth: int) -> Moment:
        at = self._at
        if self._next() == _QUOTE:
            moment = read_moment(self._string())
            if moment is not None:
                return moment
        self._at = at
        raise self._unfit("an ISO 8601 date and time")

    def _read_list(self, kind: _Kind, depth: int) -> list[Any]:
        assert kind.item is not None
        self._open(b"[", depth, "a list")
        values: list[Any] = []
        self._space()
        if self._literal(b"]"):
            return values
        self._path.append(0)
        try:
            while True:
                values.append(self._value(kind.item, depth + 1))
                self._path[-1] = len(values)
                self._space()
                if self._literal(b"]"):
                    self._path.pop()
                    return values
                if not self._literal(b","):
                    raise self._malformed()
        except Refused:
            let_go(values)
            raise

    def _read_object(self, kind: _Kind, depth: int) -> msgspec.Struct:
        assert kind.cls is not None
        shape = _shape_of(kind.cls)
        self._open(b"{", depth, "an object")
        values: dict[str, Any] = {}
        self._space()
        if not self._literal(b"}"):
            while True:
                name = self._name()
                member = shape.members.get(name.lower()) if name.isascii() else None
                self._path.append(name)
                if member is None:
                    self._skip(depth + 1)
                else:
                    values[member.attribute] = self._value(member.kind, depth + 1)
                self._path.pop()
                self._space()
                if self._literal(b"}"):
                    break
                if not self._literal(b","):
                    raise self._malformed()
                self._space()
        missing = [member for member in shape.required if member.attribute not in values]
        if missing:
            if not issubclass(kind.cls, V1):
                names = ", ".join(f"'{member.wire}'" for member in missing)
                raise self._refused(f"Required members are missing: {names}.")
            for member in missing:
                values[member.attribute] = {"text": "", "list": []}.get(member.kind.name)
        return kind.cls(**values)

    def _open(self, bracket: bytes, depth: int, wanted: str) -> None:
        if not self._data.startswith(bracket, self._at):
            raise self._unfit(wanted)
        if depth >= DEPTH:
            raise self._refused(f"The body is nested deeper than {DEPTH} levels at {self._place()}.")
        self._at += 1

    def _name(self) -> str:
        """A member's name and the colon after it."""
        if self._next() != _QUOTE:
            raise self._malformed()
        start, stop = self._raw_string()
        self._space()
        if not self._literal(b":"):
            raise self._malformed()
        name = self._data[start:stop].decode("utf-8", "surrogateescape")
        return _ESCAPE.sub(self._unescape, name) if "\\" in name else name

    def _skip(self, depth: int) -> None:
        """Pass a value that nobody asked for; it must be JSON all the same."""
        self._space()
        first = self._next()
        if first == _QUOTE:
            self._raw_string()
        elif first in (0x7B, 0x5B):
            self._skip_container(depth, is_object=first == 0x7B)
        elif first == 0x2D or 0x30 <= first <= 0x39:
            self._skip_number()
        elif not (self._literal(b"true") or self._literal(b"false") or self._literal(b"null")):
            raise self._malformed()

    def _skip_container(self, depth: int, *, is_object: bool) -> None:
        self._open(b"{" if is_object else b"[", depth, "a value")
        end = b"}" if is_object else b"]"
        self._space()
        if self._literal(end):
            return
        while True:
            if self._pass_flat(_FLAT_MEMBERS if is_object else _FLAT_ITEMS):
                self._space()
            if is_object:
                self._name()
            self._skip(depth + 1)
            self._space()
            if self._literal(end):
                return
            if not self._literal(b","):
                raise self._malformed()
            self._space()

    def _pass_flat(self, pattern: re.Pattern[bytes]) -> bool:
        """Pass whole flat values; what follows is the next value, never the end of the container."""
        before = self._at
        while True:
            at = self._at
            match = pattern.match(self._data, at, at + _WINDOW)
            assert match is not None
            self._at = match.end()
            if self._at == at:
                return at != before

    def _skip_number(self) -> None:
        self._literal(b"-")
        if not self._literal(b"0"):
            self._some_digits()
        if self._literal(b"."):
            self._some_digits()
        if self._literal(b"e") or self._literal(b"E"):
            if not self._literal(b"+"):
                self._literal(b"-")
            self._some_digits()
        if self._at < self._end and self._data[self._at] not in _AFTER_NUMBER:
            raise self._malformed()

    def _some_digits(self) -> None:
        if not 0x30 <= self._next() <= 0x39:
            raise self._malformed()
        self._run(_DIGITS)


# Not bound to a reader: one that held its own methods, and the body with them, would stay until a rare full collection.
_READERS: Final[dict[str, Callable[[Reader, _Kind, int], Any]]] = {
    "text": Reader._read_text,
    "formatted": Reader._read_formatted,
    "integer": Reader._read_integer,
    "boolean": Reader._read_boolean,
    "enum": Reader._read_enum,
    "moment": Reader._read_moment,
    "object": Reader._read_object,
    "list": Reader._read_list,
}
