"""Asking for many recipients at once: docs/reference/delivery.md 3.6."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from varsel.recipients.lookup import reachability
from varsel.recipients.model import PersonContact
from varsel.recipients.registers import Registers
from varsel.store.content import Recipient


class Nobody:
    """A register that knows nobody, and answers without letting the event loop go on."""

    async def persons(self, numbers: Sequence[str], *, use_stale: bool) -> dict[str, PersonContact]:
        return {}


async def test_others_have_their_turn_where_there_is_nobody_to_ask() -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    recipients = (*[Recipient(email="a@b.no")] * 20_000, Recipient(person="12839010182"))
    task = asyncio.create_task(turn())
    found = await reachability(cast("Registers", Nobody()), "Email", recipients, use_stale=False, right=None)
    task.cancel()
    assert (found.asked, found.missing, turns) == (1, ["12839010182"], 20)
