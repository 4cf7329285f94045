"""JSON of values with very long texts and lists, in steps that let other threads run.

Encoder, decoder and layout hold the interpreter until they are done: up to 0.2 s for one text of 30 MB, and longer for a million
recipients. Slices of a megabyte take a few milliseconds each.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast, overload

import msgspec
from msgspec.structs import replace

from varsel.runtime.problems import pretty

LONG: Final = 1_000_000  # characters
#: Octets of an answer beyond which it is written in a thread.
LARGE: Final = 100_000
#: Items of a list beyond which it is written in chunks.
MANY: Final = 1_000
_CHUNK: Final = 64
_WINDOW: Final = 65_536
_encode = msgspec.json.Encoder().encode
_text = msgspec.json.Decoder(str).decode

#: What stands for a long text while the rest is laid out. No text of an order holds NUL.
_PLACE: Final = re.compile(rb'"\\u0000([0-9]+)\\u0000"')
_IN_STRING: Final = re.compile(rb'(?:[^"\\]+|\\.)*', re.DOTALL)
_QUOTE, _BACKSLASH = b'"\\'

Long = Callable[[Any], Any]


async def laid_out(value: Any, octets: int = 0) -> bytes:
    """`pretty`, in a thread and in slices where the answer is large: `octets` or more, about, or what stands in its fields as written."""
    octets += sum(map(length_of, (getattr(value, name) for name in getattr(value, "__struct_fields__", ()))))
    return pretty(value) if octets < LARGE else await asyncio.to_thread(pretty_in_slices, value)


def length_of(text: object) -> int:
    """How long a text is that `as_written` or the decoder gave; 0 for anything else."""
    return (
        memoryview(text).nbytes
        if isinstance(text, msgspec.Raw)
        else len(text)
        if isinstance(text, str)
        else 0
    )


@overload
def as_written(data: bytes) -> str: ...
@overload
def as_written(data: None) -> None: ...
def as_written(data: bytes | None) -> str | None:
    """A text that came as JSON (`to_json`): it goes into an answer as it is, however long, and is never decoded. No string otherwise."""
    return None if data is None else cast("str", msgspec.Raw(data))


def pretty_in_slices(value: Any) -> bytes:
    """As `pretty`, with every long text and list put in afterwards."""
    placed: list[Any] = []

    def place(whole: Any) -> str:
        placed.append(whole)
        return f"\0{len(placed) - 1}\0"

    short, *rest = _PLACE.split(pretty(in_slices(value, place)))
    parts: list[Any] = [short]
    for at in range(0, len(rest), 2):
        whole = placed[int(rest[at])]
        if isinstance(whole, str):
            parts += (b'"', *_sliced(whole), b'"')
        elif isinstance(whole, msgspec.Raw):
            parts.append(whole)
        else:
            line = parts[-1].rpartition(b"\n")[2]
            parts += _chunks_laid_out(whole, line[: len(line) - len(line.lstrip())])
        parts.append(rest[at + 1])
    return b"".join(parts)


def _chunks_laid_out(items: Sequence[Any], indentation: bytes) -> Iterator[bytes]:
    for start in range(0, len(items), _CHUNK):
        chunk = pretty_in_slices(list(items[start : start + _CHUNK]))
        # Without its brackets; a line break in JSON is always one of the layout.
        yield (b"," if start else b"[") + chunk[1:-2].replace(b"\n", b"\n" + indentation)
    yield b"\n" + indentation + b"]"


def in_slices(value: Any, long: Long | None = None) -> Any:
    """The same value, of structures, lists and texts, with every long text and list as the JSON that it becomes, or as `long` puts it."""
    if isinstance(value, str):
        return (long or _raw)(value) if len(value) > LONG else value
    if isinstance(value, msgspec.Struct):
        changed = {}
        for name in value.__struct_fields__:
            before = getattr(value, name)
            if before is None or (type(before) is str and len(before) <= LONG):
                continue
            after = in_slices(before, long)
            if after is not before:
                changed[name] = after
        return replace(value, **changed) if changed else value
    if isinstance(value, list | tuple):
        if len(value) > MANY:
            return (long or _raw)(value)
        items = [in_slices(item, long) for item in value]
        same = all(after is before for after, before in zip(items, value, strict=True))
        return value if same else type(value)(items)
    if long is not None and isinstance(value, msgspec.Raw) and memoryview(value).nbytes > LONG:
        return long(value)
    return value


def _raw(value: Any) -> msgspec.Raw:
    if isinstance(value, str):
        return msgspec.Raw(b"".join((b'"', *_sliced(value), b'"')))
    starts = range(0, len(value), _CHUNK)
    chunks = (_encode([in_slices(item) for item in value[start : start + _CHUNK]])[1:-1] for start in starts)
    return msgspec.Raw(b"".join((b"[", b",".join(chunks), b"]")))


def _sliced(text: str) -> Iterator[bytes]:
    # Each slice without its quotes; characters are never halved.
    return (_encode(text[start : start + LONG])[1:-1] for start in range(0, len(text), LONG))


def let_go(items: list[Any]) -> None:
    """Empty a list step by step: a million structures that are freed in one go hold the interpreter for 50 ms and more."""
    while items:
        del items[-MANY:]


# Back again


def lifted(data: bytes, *, written: bool = False) -> tuple[bytes, list[str]]:
    """A document as our encoder writes it, each long text replaced by what `put_back` knows it by; and these texts, or what is
    `written` of them (see `as_written`).
    """
    parts: list[bytes] = []
    texts: list[str] = []
    at = start = 0
    while (start := data.find(b'"', start)) >= 0:
        end = _string_end(data, start + 1)
        if end - start > LONG:
            parts += (data[at:start], b'"\\u0000%d\\u0000"' % len(texts))
            whole = as_written(data[start : end + 1]) if written else "".join(_decoded(data, start + 1, end))
            texts.append(whole)
            at = end + 1
        start = end + 1
    return (b"".join((*parts, data[at:])) if texts else data), texts


def put_back(value: Any, texts: Sequence[str]) -> Any:
    """The value that was decoded from a lifted document, with its long texts in their places."""
    if isinstance(value, str):
        return texts[int(value[1:-1])] if value.startswith("\0") else value
    if isinstance(value, msgspec.Struct):
        found = {name: getattr(value, name) for name in value.__struct_fields__}
        return replace(value, **{name: put_back(before, texts) for name, before in found.items()})
    if isinstance(value, list | tuple):
        return type(value)([put_back(item, texts) for item in value])
    return value


def decoded(data: bytes) -> str:
    """UTF-8 of any length as a text; UnicodeDecodeError where it is none."""
    return data.decode() if len(data) <= LONG else "".join(decoded_slices(data))


def decoded_slices(data: bytes) -> Iterator[str]:
    """The same slice by slice."""
    start, end = 0, len(data)
    while start < end:
        stop = min(start + LONG, end)
        for _ in range(3):
            if stop < end and data[stop] & 0xC0 == 0x80:  # within a character
                stop -= 1
        yield data[start:stop].decode()
        start = stop


def _string_end(data: bytes, at: int) -> int:
    """Where the closing quote is of a string whose first character is at hand."""
    end = data.find(b'"', at)
    if end < 0 or data[end - 1] != _BACKSLASH:
        return end if end >= 0 else len(data)
    while at < len(data):
        match = _IN_STRING.match(data, at, at + _WINDOW)
        assert match is not None
        at = match.end()
        if at < len(data) and data[at] == _QUOTE:
            return at
        if match.end() == match.start():  # an escape without an end: not what our encoder writes
            break
    return len(data)


def _decoded(data: bytes, start: int, end: int) -> Iterator[str]:
    while start < end:
        stop = min(start + LONG, end)
        if stop < end:
            while data[stop] & 0xC0 == 0x80:  # within a character
                stop -= 1
            escape = data.rfind(b"\\", max(start, stop - 6), stop)
            if escape >= 0:
                run = escape
                while run > start and data[run - 1] == _BACKSLASH:
                    run -= 1
                # An odd number of backslashes: the last one begins an escape.
                if (escape - run + 1) % 2:
                    stop = escape
        yield _text(b'"%b"' % data[start:stop])
        start = stop
