"""Log lines: structlog for ourselves, and the standard library's loggers of our dependencies through the same processors.

A line has an event (a sentence for people), an `action` (for programs; `room.what`), a level chosen by outcome and fields. Text on a
terminal, JSON otherwise. Exceptions show type, masked message and places, never local values.
"""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType
from typing import Any, Final, TextIO

import msgspec
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from varsel.runtime import trace as traces
from varsel.runtime.masking import mask_fields, mask_text
from varsel.runtime.settings import Settings

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_MESSAGE_LIMIT: Final = 300
_FRAMES: Final = 12

#: Written by Varsel itself, so never personal; masking them would only cost time or break them.
_OWN: Final = ("event", "level", "timestamp", "logger", "action")


def _with_action(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    # Lines of dependencies have none; their logger says where they come from.
    event.setdefault("action", f"log.{event.get('logger') or 'other'}")
    return event


def _with_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    trace = traces.CURRENT.get()
    if trace is not None and "trace" not in event:
        event["trace"] = trace.trace_id
    return event


def _places(tb: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(tb, limit=-_FRAMES)
    return [
        f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno} {frame.name}" for frame in frames
    ]


def describe(error: BaseException) -> str:
    """Type and first line of the message, masked; what a database says in further lines may quote a row."""
    first = str(error).partition("\n")[0][:_MESSAGE_LIMIT]
    return f"{type(error).__module__}.{type(error).__qualname__}: {mask_text(first)}".removeprefix(
        "builtins."
    )


def _with_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    given = event.pop("exc_info", None)
    if not given:
        return event
    if isinstance(given, tuple):
        error = given[1]
    elif isinstance(given, BaseException):
        error = given
    else:
        error = sys.exc_info()[1]
    lines: list[str] = []
    while error is not None and len(lines) < 40:
        lines.append(describe(error))
        lines.extend("  " + place for place in _places(error.__traceback__))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if lines:
        event["exception"] = "\n".join(lines)
    return event


def mask_event(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The last line of defence: nothing that looks personal or secret leaves in any field."""
    masked: dict[str, Any] = {}
    for name in ("timestamp", "level", "logger"):
        if name in event:
            masked[name] = event[name]
    for name in ("event", "action"):
        if name in event:
            masked[name] = mask_text(str(event[name]))
    exception = event.pop("exception", None)
    # Names with an underscore are the logging library's own; it takes them out before the line is written.
    masked |= {name: value for name, value in event.items() if name.startswith("_")}
    masked |= mask_fields(
        {name: value for name, value in event.items() if name not in _OWN and not name.startswith("_")}
    )
    if exception is not None:
        masked["exception"] = "\n".join(mask_text(line) for line in str(exception).split("\n"))
    return masked


def _json(_: WrappedLogger, __: str, event: EventDict) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def _chain() -> list[Processor]:
    return [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_trace,
        _with_action,
        _with_exception,
        mask_event,
    ]


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Send every log line of this process to `stream` (standard error by default)."""
    stream = sys.stderr if stream is None else stream
    level = _LEVELS[settings.log_level]
    text = settings.log_format == "text" or (settings.log_format == "auto" and stream.isatty())
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if text
        else _json
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *_chain()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("varsel").setLevel(level)
    # What these say at information level, our own lines say better; at error level they matter.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "aiohttp.access"):
        quiet = logging.getLogger(name)
        quiet.handlers.clear()
        quiet.propagate = True
        quiet.setLevel(logging.ERROR)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_chain(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
