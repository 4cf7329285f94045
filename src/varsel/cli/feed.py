"""`varsel feed`: what has come to its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from varsel.cli.calling import Json, Where, WrongInput, caller, print_json, told
from varsel.cli.terminal import say

if TYPE_CHECKING:
    from varsel.client import FeedEntry


def feed(
    *,
    follow: Annotated[bool, Parameter(negative="", help="Stay and list what comes.")] = False,
    after: Annotated[int | None, Parameter(help="Begin after this sequence number.")] = None,
    cursor: Annotated[
        Path | None, Parameter(help="File that remembers how far it came, over restarts.")
    ] = None,
    where: Where | None = None,
    json: Json = False,
) -> None:
    if cursor is not None and after is not None:
        raise WrongInput("Give --after or --cursor, not both.")
    with told():
        who = caller(where)
        try:
            for entry in who.notifications().feed(
                cursor if cursor is not None else after or 0, follow=follow
            ):
                if json:
                    print_json(entry, indent=None)
                else:
                    _line(entry)
        finally:
            who.close()


def _line(entry: FeedEntry) -> None:
    ends = ", ".join(one.status for one in entry.recipients) or "nobody"
    words = [
        str(entry.sequence_number),
        f"{entry.last_update.astimezone():%Y-%m-%d %H:%M:%S}",
        str(entry.shipment_id),
        entry.status,
        ends,
    ]
    say("  ".join(words + ([entry.senders_reference] if entry.senders_reference else [])))
