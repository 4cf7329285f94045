"""Sessions of browsers: an opaque handle in a cookie, its HMAC in the database (docs/reference/identity.md 7.3, 7.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from typing import Any, Final

import msgspec

from varsel.runtime.clock import Machine
from varsel.store.database import Database
from varsel.store.queries import load
from varsel.store.secrets import MasterKey

sql = load("varsel.identity")

SLIDING: Final = timedelta(minutes=30)
#: kind -> how long after its beginning a session ends whatever happens.
ABSOLUTE: Final[Mapping[str, timedelta]] = {
    "console": timedelta(hours=12),
    "altinn": timedelta(hours=12),
    "idporten": timedelta(hours=2),
}
_LONGEST_HANDLE: Final = 64


@dataclass(frozen=True, slots=True)
class Session:
    """A living session. `data` is what its kind remembers, never a token."""

    kind: str
    pid: str
    data: Mapping[str, Any]
    began: datetime
    ends: datetime


class Sessions:
    """Makes, finds and ends sessions. A handle is made at login and never taken from the browser, so none can be planted."""

    def __init__(self, database: Database, machine: Machine, master_key: MasterKey) -> None:
        self._database = database
        self._machine = machine
        self._master_key = master_key

    @property
    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._machine.time(), UTC)

    def _id(self, handle: str) -> bytes:
        return self._master_key.mac("session", handle.encode())

    async def begin(self, kind: str, pid: str, data: Mapping[str, Any] | None = None) -> str:
        """A new session; the handle for the cookie."""
        handle = token_urlsafe(32)
        encoded = msgspec.json.encode(data or {}).decode()
        now = self._now
        await self._database.execute(
            sql.insert_session, self._id(handle), kind, pid, encoded, now, now + SLIDING
        )
        return handle

    async def find(self, kind: str, handle: str | None) -> Session | None:
        """The session of a handle, which slides by this; None when there is none, or it has ended."""
        if not handle or len(handle) > _LONGEST_HANDLE:
            return None
        now = self._now
        row = await self._database.fetchrow(
            sql.see_session, self._id(handle), kind, now, now + SLIDING, ABSOLUTE[kind]
        )
        if row is None:
            return None
        return Session(
            kind, row["pid"], msgspec.json.decode(row["data"]), row["created_at"], row["expires_at"]
        )

    async def remember(self, kind: str, handle: str, data: Mapping[str, Any]) -> None:
        """Replace what the session remembers."""
        await self._database.execute(
            sql.update_session, self._id(handle), kind, msgspec.json.encode(data).decode()
        )

    async def end(self, kind: str, handle: str | None) -> Mapping[str, Any] | None:
        """End a session; what it remembered, None when there was none."""
        if not handle or len(handle) > _LONGEST_HANDLE:
            return None
        row = await self._database.fetchrow(sql.delete_session, self._id(handle), kind)
        return None if row is None else dict(msgspec.json.decode(row["data"]))

    async def end_by_provider(self, issuer: str, sid: str) -> int:
        """End what came of a provider's session, of whatever kind: the person has logged out there; how many.

        A provider knows one address of ours for this, and a guess ends nothing.
        """
        if not (0 < len(issuer) <= 300 and 0 < len(sid) <= 100) or "\0" in issuer + sid:
            return 0
        return len(await self._database.fetch(sql.delete_sessions_by_sid, sid, issuer))
