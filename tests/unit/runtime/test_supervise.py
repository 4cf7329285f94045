"""Children: handshake, restart, stop, and no survivor of a parent's kill -9. Real processes, a few lines each."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.polling import until
from varsel.runtime import supervise
from varsel.runtime.supervise import Child, ChildFailed, State, StopSignals

#: What a child of these tests does with its configuration.
PROGRAM = textwrap.dedent(
    """
    import asyncio, os, sys
    from varsel.runtime.errors import DatabaseUnavailable, OperatorError
    from varsel.runtime.supervise import die_with, serve_line

    async def run(config, ready, go, stop):
        match config.get("do"):
            case "refuse": raise OperatorError("The moon is in the way.")
            case "no database": raise DatabaseUnavailable
            case "die": os._exit(9)
            case "linger":
                import signal
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)
        await ready()
        if config.get("do") == "wait":
            await go.wait()
            open(config["file"], "w").close()
        await stop.wait()
        if "file" in config:
            open(config["file"], "w").close()

    descriptor, parent = int(sys.argv[2]), int(sys.argv[4])
    if not die_with(parent): sys.exit(1)
    sys.exit(asyncio.run(serve_line(descriptor, parent, run, {"pid": lambda: str(os.getpid())})))
    """
)


def child(**config: object) -> Child:
    return Child("test", [sys.executable, "-c", PROGRAM], lambda: config)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_child_says_when_it_is_ready_and_answers(tmp_path):
    one = child(file=str(tmp_path / "stopped"))
    assert one.state is State.STOPPED
    await one.start()
    assert one.state is State.READY
    assert await one.ask("pid") == str(one.pid)
    assert not (tmp_path / "stopped").exists()
    await one.stop(10)
    assert (tmp_path / "stopped").exists()
    assert one.state is State.STOPPED
    assert one.pid is not None
    assert not alive(one.pid)
    assert await one.ask("pid") is None
    await one.stop(10)


async def test_a_child_that_was_too_busy_once_answers_the_next_question(monkeypatch):
    one = child()
    await one.start()
    try:
        assert one.pid is not None
        os.kill(one.pid, signal.SIGSTOP)
        monkeypatch.setattr(supervise, "ANSWER_LIMIT", 0.01)
        assert await one.ask("pid") is None
        os.kill(one.pid, signal.SIGCONT)
        monkeypatch.setattr(supervise, "ANSWER_LIMIT", 20.0)
        assert await one.ask("pid") == str(one.pid)
        # What it had to say to the first question is no answer to another one.
        assert await one.ask("pid") == str(one.pid)
    finally:
        await one.stop(10)


@pytest.mark.parametrize(
    ("what", "sentence", "code"),
    [
        ("refuse", "The moon is in the way", 1),
        ("no database", "The database does not answer", 3),
        ("die", "died while it started", 1),
    ],
)
async def test_a_child_that_cannot_start_says_why(what, sentence, code):
    one = child(do=what)
    with pytest.raises(ChildFailed, match=sentence) as refusal:
        await one.start()
    assert refusal.value.exit_code == code
    assert one.state is State.STOPPED
    assert one.pid is not None
    assert not alive(one.pid)


async def test_a_child_that_dies_is_started_anew(monkeypatch):
    one = child()
    await one.start()
    try:
        first = one.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: one.pid != first and one.state is State.READY, 20)
        assert await one.ask("pid") == str(one.pid)
    finally:
        await one.stop(10)


async def test_pauses_grow_while_a_child_does_not_last(monkeypatch, tmp_path):
    pauses: list[float] = []
    monkeypatch.setattr(supervise, "BACKOFF", (0.0, 0.01, 0.02))
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds in supervise.BACKOFF:
            pauses.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(supervise.asyncio, "sleep", noted)
    config: dict[str, object] = {}
    one = Child("test", [sys.executable, "-c", PROGRAM], lambda: config)
    await one.start()
    try:
        config["do"] = "refuse"
        assert one.pid is not None
        os.kill(one.pid, signal.SIGKILL)
        await until(lambda: pauses.count(0.02) >= 2, 20)
        assert one.state is not State.READY
        config.clear()
        await until(lambda: one.state is State.READY, 20)
    finally:
        await one.stop(10)
    assert pauses[:2] == [0.01, 0.02]


async def test_a_child_that_does_not_stop_is_killed():
    one = child(do="linger")
    await one.start()
    await one.stop(0.1)
    assert one.pid is not None
    assert not alive(one.pid)


async def test_a_child_waits_for_the_word(tmp_path):
    begun = tmp_path / "begun"
    one = child(do="wait", file=str(begun))
    await one.start()
    try:
        assert not begun.exists()
        await one.go()
        await until(begun.exists)
        # The next incarnation begins by itself.
        begun.unlink()
        assert one.pid is not None
        os.kill(one.pid, signal.SIGKILL)
        await until(begun.exists, 20)
    finally:
        await one.stop(10)


async def test_stopping_while_it_starts_leaves_nothing():
    one = child()
    starting = asyncio.create_task(one.start())
    await until(lambda: one.pid is not None)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert one.pid is not None
    assert not alive(one.pid)


async def test_a_kill_of_the_parent_takes_the_child_along(tmp_path):
    parent = textwrap.dedent(
        f"""
        import asyncio, sys
        from varsel.runtime.supervise import Child
        async def main():
            one = Child("test", [sys.executable, "-c", {PROGRAM!r}], dict)
            await one.start()
            print(one.pid, flush=True)
            await asyncio.Event().wait()
        asyncio.run(main())
        """
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    try:
        assert process.stdout is not None
        pid = int(await asyncio.to_thread(process.stdout.readline))
        assert alive(pid)
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
        assert process.stdout is not None
        process.stdout.close()
    await until(lambda: not alive(pid))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_each_of_these_signals_asks_to_stop(number):
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the suite itself may run under nohup
    try:
        with StopSignals(lambda: os._exit(1)) as signals:
            os.kill(os.getpid(), number)
            await asyncio.wait_for(signals.asked.wait(), 20)
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_the_end_of_a_terminal_is_ignored_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals(lambda: os._exit(1)) as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)  # handled after the other one
            await asyncio.wait_for(signals.asked.wait(), 20)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
