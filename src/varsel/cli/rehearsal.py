"""`varsel order … --dry-run`: what would be sent, to whom and when."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from varsel.cli.calling import Where, caller, print_json, table
from varsel.cli.terminal import complain, say

if TYPE_CHECKING:
    from varsel.client import ComposedEmail, InstantEmail, InstantSms, Order


def show_dry_run(
    where: Where | None,
    order: Order | ComposedEmail | InstantEmail | InstantSms,
    scope: str | None,
    *,
    json: bool,
) -> None:
    """Ask, and show the answer; the server masks addresses and names."""
    who = caller(where)
    try:
        found = who.notifications(scope).dry_run(order)
    finally:
        who.close()
    if json:
        print_json(found)
        return
    for one in found.orders:
        say(
            f"{one.get('type', 'Order')} at {_time(one.get('requestedSendTime'))}, by {one.get('channel', '')}"
        )
        table(
            ["channel", "to", "status", "not before", "SMS parts"],
            [
                [
                    str(message.get("channel", "")),
                    message.get("destination") or "(no address)",
                    str(message.get("status", "")),
                    _time(message.get("sendsAt")),
                    str(message.get("parts") or ""),
                ]
                for message in one.get("messages", ())
            ],
        )
    if found.repeat:
        complain("That id is taken already: nothing new would be ordered.")
    say("Nothing was ordered.")


def _time(text: Any) -> str:
    if not isinstance(text, str):
        return ""
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M}"
