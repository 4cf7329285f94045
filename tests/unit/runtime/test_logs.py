"""Log lines: masked, with an action, as text or JSON; exceptions without local values."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys

import pytest
import structlog

from varsel.runtime import trace as traces
from varsel.runtime.logs import configure_logging
from varsel.runtime.settings import Settings


@pytest.fixture
def lines():
    """Log lines of this test as dictionaries; the process's logging is put back afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logging(Settings(log_format="json", log_level="debug"), stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def fresh(name="varsel.test"):
    return structlog.get_logger(name)


def test_a_line_has_time_level_logger_event_action_and_fields(lines):
    fresh().warning("order ended late", action="orders.late", order="o-1", seconds=1.5, rows=[1, 2])
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "varsel.test",
        "event": "order ended late",
        "action": "orders.late",
        "order": "o-1",
        "seconds": 1.5,
        "rows": [1, 2],
    }


def test_every_line_has_an_action(lines):
    fresh().info("without")
    logging.getLogger("aiosmtplib").error("theirs")
    assert [line["action"] for line in lines()] == ["log.varsel.test", "log.aiosmtplib"]


def test_nothing_personal_leaves_in_any_field(lines):
    fresh().error(
        "failed for kari@example.org",
        action="send.failed",
        detail="01820312345 +4799912345",
        address="x",
        nested={"why": ["Bearer eyJhbGciOi.abc.def"]},
    )
    logging.getLogger("asyncpg").error(
        "row %s", "kari@example.org", extra={"token": "t0p", "who": "01820312345"}
    )
    text = json.dumps(lines())
    for secret in ("kari", "01820312345", "99912345", "eyJ", "t0p"):
        assert secret not in text


def test_exceptions_tell_type_masked_message_and_place_but_no_values(lines):
    def deliver(address):
        secret_local = "hush-hush"
        try:
            raise KeyError("01820312345")
        except KeyError as error:
            raise ValueError(f"{address} is bad\nDETAIL: Key (email)=(row content)") from (
                (error and None) or error
            )
        finally:
            del secret_local

    try:
        deliver("kari@example.org")
    except ValueError:
        fresh().exception("sending failed", action="send.failed")
    (line,) = lines()
    shown = line["exception"]
    assert shown.startswith("ValueError: ka…@example.org is bad\n")
    assert "deliver" in shown
    assert "KeyError: '[national number]'" in shown
    for secret in ("kari", "hush", "row content", "01820312345"):
        assert secret not in json.dumps(line)
    assert line["level"] == "error"


def test_exceptions_of_dependencies_are_masked_too(lines):
    try:
        raise RuntimeError("Bearer abc.def.ghi")
    except RuntimeError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    (line,) = lines()
    assert "abc.def" not in json.dumps(line)
    assert "RuntimeError" in line["exception"]


def test_the_trace_in_hand_is_told(lines):
    trace = traces.Trace()
    token = traces.CURRENT.set(trace)
    fresh().info("x", action="a.b")
    traces.CURRENT.reset(token)
    fresh().info("y", action="a.b")
    with_trace, without = lines()
    assert with_trace["trace"] == trace.trace_id
    assert "trace" not in without


def test_levels_hold_for_us_and_warnings_only_for_others(lines):
    stream = io.StringIO()
    configure_logging(Settings(log_format="json", log_level="warning"), stream)
    log = fresh("varsel.levels")
    log.info("no", action="a.b")
    log.warning("yes", action="a.b")
    logging.getLogger("asyncio").info("no")
    logging.getLogger("uvicorn.error").warning("no")
    logging.getLogger("asyncio").warning("yes")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["yes", "yes"]


def test_a_person_gets_text_and_a_program_json():
    program = (
        "import structlog; from varsel.runtime.logs import configure_logging; from varsel.runtime.settings import Settings\n"
        "configure_logging(Settings(log_format={!r})); structlog.get_logger('varsel.x').info('hello', action='a.b', to='kari')"
    )
    shown = {}
    for form in ("auto", "text", "json"):
        done = subprocess.run([sys.executable, "-c", program.format(form)], capture_output=True, check=True)
        assert done.stdout == b""
        shown[form] = done.stderr
        assert b"kari" not in done.stderr
    assert json.loads(shown["json"])["event"] == "hello"
    assert json.loads(shown["auto"])["event"] == "hello"  # standard error is no terminal here
    assert shown["text"].count(b"\n") == 1
    assert b"hello" in shown["text"]
    assert b"{" not in shown["text"]
