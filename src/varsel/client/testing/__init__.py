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

from ._clock import ManualClock
from ._memory import Memory, Recorded
from ._sandbox import Inbox, Message, Sandbox, SandboxError

__all__ = ["Inbox", "ManualClock", "Memory", "Message", "Recorded", "Sandbox", "SandboxError"]
