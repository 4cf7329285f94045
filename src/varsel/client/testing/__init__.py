"""For the tests of those who use the client: a world in memory for unit tests, and a whole sandbox for the rest.

    from varsel.client import Email, Notifications, Order, ToEmail
    from varsel.client.testing import Memory

    memory = Memory()
    with Notifications(memory.credentials(), http=memory.http) as api:
        receipt = api.order(Order("case-42", ToEmail("kari@example.org", Email("Ny melding", "Logg inn."))))
        memory.deliver()
        assert api.shipment(receipt.shipment_id).is_delivered

The pytest fixtures `varsel_memory`, `varsel_sandbox` and `varsel_inbox` come with the installation.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._clock import ManualClock
    from ._memory import Memory, Recorded
    from ._sandbox import Inbox, Message, Sandbox, SandboxError

#: As in `varsel.client`: loaded when first used, because a command that looks for a sandbox needs no world in memory.
_HOME = {
    "ManualClock": "_clock",
    "Memory": "_memory",
    "Recorded": "_memory",
    "Inbox": "_sandbox",
    "Message": "_sandbox",
    "Sandbox": "_sandbox",
    "SandboxError": "_sandbox",
}

__all__ = ["Inbox", "ManualClock", "Memory", "Message", "Recorded", "Sandbox", "SandboxError"]


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f".{module}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
