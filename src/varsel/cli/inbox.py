"""`varsel inbox`: what a running sandbox received."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from varsel.cli.calling import Json, Refused, Where, WrongInput, caller, print_json, sandbox_of, table, told
from varsel.cli.terminal import complain, say

if TYPE_CHECKING:
    from varsel.client.testing import Message, Sandbox

To = Annotated[str | None, Parameter(help="Only this address or number.")]
Channel = Annotated[Literal["email", "sms"] | None, Parameter(help="Only this channel.")]
Data = Annotated[Path | None, Parameter(help="Data directory of the sandbox; found by default.")]
Env = Annotated[str | None, Parameter(help="Address of the sandbox, when it does not run here.")]


def listed(
    *, to: To = None, channel: Channel = None, data: Data = None, env: Env = None, json: Json = False
) -> None:
    with told():
        with _sandbox(data, env) as sandbox:
            found = sandbox.inbox.messages(to=to, channel=channel)
    if json:
        print_json([_json(one) for one in found])
        return
    table(
        ["received", "channel", "to", "subject or text", "id"],
        [
            [
                f"{one.received_at.astimezone():%m-%d %H:%M:%S}",
                one.channel,
                one.to,
                _short(one),
                one.id,
            ]
            for one in found
        ],
    )
    if not found:
        complain("The inbox is empty.")


def show(
    id: Annotated[str | None, Parameter(help="Id of the message.")] = None,  # noqa: A002
    /,
    *,
    to: To = None,
    data: Data = None,
    env: Env = None,
    json: Json = False,
) -> None:
    with told():
        with _sandbox(data, env) as sandbox:
            found = [one for one in sandbox.inbox.messages(to=to) if id is None or one.id == id]
    if not found:
        raise Refused("There is no such message." if id or to else "The inbox is empty.")
    message = found[-1]
    if json:
        print_json(_json(message))
        return
    for name, value in (("From", message.sender), ("To", message.to), ("Subject", message.subject)):
        if value is not None:
            say(f"{name}: {value}")
    say(f"Received: {message.received_at.astimezone():%Y-%m-%d %H:%M:%S}\n")
    say(message.body)


def opened(*, data: Data = None, env: Env = None, json: Json = False) -> None:
    import webbrowser

    with told(), _sandbox(data, env) as sandbox:
        address = f"{sandbox.url}/console/inbox"
    if json:
        print_json({"address": address})
    else:
        say(address)
    webbrowser.open(address)


@contextlib.contextmanager
def _sandbox(data: Path | None, env: str | None) -> Iterator[Sandbox]:
    who = caller(Where(data=data, env=env))
    try:
        found = sandbox_of(who)
        if found is None:
            raise WrongInput("An inbox is in sandboxes only; name one with --data or --env.")
        yield found
    finally:
        who.close()


def _short(message: Message) -> str:
    words = " ".join((message.subject if message.subject is not None else message.body).split())
    return words if len(words) <= 60 else words[:59] + "…"


def _json(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "channel": message.channel,
        "to": message.to,
        "from": message.sender,
        "subject": message.subject,
        "body": message.body,
        "receivedAt": message.received_at.isoformat(),
    }
