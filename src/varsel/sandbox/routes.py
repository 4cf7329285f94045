"""What the sandbox received, as JSON for tests: `/sandbox/api/messages`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal, get_args
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from varsel.runtime.clock import Calendar
from varsel.runtime.endpoints import Call, Endpoint, Policy, Reply
from varsel.runtime.errors import ValidationProblem
from varsel.runtime.problems import pretty
from varsel.runtime.times import wire_time
from varsel.sandbox.files import FATES, file_url
from varsel.sandbox.messages import Channel, Message, Messages

PATH: Final = "/sandbox/api/messages"
_READABLE: Final = timedelta(days=7)


class ReceivedMessage(msgspec.Struct, rename={"sender": "from", "received_at": "receivedAt"}):
    """A message that the sandbox received."""

    id: Annotated[
        str,
        Meta(
            description="UUID, in order of arrival.",
            examples=["0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c10"],
            extra_json_schema={"format": "uuid"},
        ),
    ]
    channel: Annotated[Literal["email", "sms"], Meta(description="How it came.")]
    to: Annotated[
        str,
        Meta(description="Address as it came; a number with `+` and country code.", examples=["+4799999999"]),
    ]
    sender: Annotated[
        str, Meta(description="From header of an e-mail, sender of an SMS.", examples=["Varsel"])
    ]
    subject: Annotated[str | None, Meta(description="Null for an SMS.", examples=["Ny melding"])]
    body: Annotated[
        str,
        Meta(
            description="Text as the recipient sees it; the HTML part where there is one.",
            examples=["Hei Kari, du har en ny melding."],
        ),
    ]
    received_at: Annotated[
        str,
        Meta(
            description="Calendar time of the sandbox, UTC, ISO 8601 with `Z`.",
            examples=["2031-03-14T08:00:41.5Z"],
            extra_json_schema={"format": "date-time"},
        ),
    ]


_PARAMETERS: Final = (
    {
        "name": "channel",
        "in": "query",
        "schema": {"type": "string", "enum": ["email", "sms"]},
        "description": "Only this channel.",
    },
    {
        "name": "to",
        "in": "query",
        "schema": {"type": "string"},
        "description": "Only this recipient. Letter case does not matter; a number may be written with `+`, `00` or spaces.",
        "example": "kari@example.org",
    },
)


class FileAddress(msgspec.Struct, rename="camel"):
    """A file of the sandbox, as a composed e-mail may name it."""

    filename: Annotated[str, Meta(description="Name of the file, as in the path.", examples=["avtale.pdf"])]
    sas_url: Annotated[
        str,
        Meta(
            description="Readable for a week of the sandbox's calendar.",
            examples=[
                "http://127.0.0.1:5090/sandbox/blob/avtale.pdf?sv=2024-11-04&se=2031-03-21T08%3A00%3A00Z&sr=b&sp=r&sig=c3ludGhldGlj"
            ],
        ),
    ]


ENDPOINTS: Final = (
    Endpoint(
        "GET",
        PATH,
        "get_messages",
        Policy.OPEN,
        "Received messages",
        responses={200: list[ReceivedMessage]},
        problems=(400,),
        internal=True,
        description="What the sandbox's inbox and SMS gateway received, oldest first; kept over restarts.",
        parameters=_PARAMETERS,
    ),
    Endpoint(
        "GET",
        "/sandbox/api/files/{name}",
        "get_file_address",
        Policy.OPEN,
        "Address of a file to attach",
        responses={200: FileAddress},
        internal=True,
        description=(
            "A pre-signed address of a file on the sandbox's blob host, for `sasUrl` of a composed e-mail. Names that begin with "
            + ", ".join(f"`{word}`" for word in FATES)
            + " fail as the word says."
        ),
    ),
    Endpoint(
        "DELETE",
        PATH,
        "delete_messages",
        Policy.OPEN,
        "Empty the inbox",
        responses={204: None},
        problems=(400,),
        internal=True,
        description="Forgets received messages: all of them, or those of a channel or recipient.",
        parameters=_PARAMETERS,
    ),
)


def wanted(query: bytes) -> tuple[Channel | None, str]:
    """Read `channel` and `to`; ValidationProblem for a channel that does not exist."""
    given: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="replace"):
        given.setdefault(name.lower(), value)
    channel = given.get("channel", "").strip().lower()
    to = given.get("to", "").replace("\0", "")
    if not channel:
        return None, to
    for known in get_args(Channel):
        if channel == known:
            return known, to
    raise ValidationProblem({"channel": ["Must be email or sms."]})


def shown(message: Message) -> ReceivedMessage:
    return ReceivedMessage(
        id=str(message.id),
        channel=message.channel,
        to=message.to,
        sender=message.sender,
        subject=message.subject,
        body=message.body if message.html is None else message.html,
        received_at=wire_time(message.received_at),
    )


class Routes:
    """Answers of the endpoints above."""

    def __init__(self, messages: Messages, calendar: Calendar, file_host_port: int) -> None:
        self._messages = messages
        self._calendar = calendar
        self._origin = f"http://127.0.0.1:{file_host_port}"

    async def get_messages(self, call: Call) -> Reply:
        channel, to = wanted(call.query)
        found = await self._messages.find(channel, to)
        return Reply(200, pretty([shown(message) for message in found]))

    async def get_file_address(self, call: Call) -> Reply:
        name = call.params["name"]
        url = file_url(self._origin, name, self._calendar.now() + _READABLE)
        return Reply(200, pretty(FileAddress(name, url)))

    async def delete_messages(self, call: Call) -> Reply:
        channel, to = wanted(call.query)
        await self._messages.empty(channel, to)
        return Reply(204, content_type=None)
