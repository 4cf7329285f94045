"""Fixtures for the tests of Varsel's callers; pytest finds them by itself.

This module stays outside `varsel.client` and imports nothing early: every pytest run on the machine loads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from varsel.client.testing import Inbox, Memory, Sandbox


@pytest.fixture
def varsel_memory() -> Memory:
    """Maskinporten, token exchange and Notifications API in memory, fresh for each test."""
    from varsel.client.testing import Memory

    return Memory()


@pytest.fixture(scope="session")
def varsel_sandbox() -> Iterator[Sandbox]:
    """A whole sandbox on free ports in a directory of its own, started once per session (and per xdist worker)."""
    from varsel.client.testing import Sandbox

    sandbox = Sandbox.start()
    try:
        yield sandbox
    finally:
        sandbox.stop()


@pytest.fixture
def varsel_inbox(varsel_sandbox: Sandbox) -> Inbox:
    """The inbox of the sandbox, empty at the beginning of the test."""
    varsel_sandbox.inbox.clear()
    return varsel_sandbox.inbox
