"""Whose browser this is: the session cookie, the person behind it, and the token that every form carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from varsel.identity.cookies import BAD, single
from varsel.identity.sessions import Sessions
from varsel.store.database import Database
from varsel.store.queries import load
from varsel.store.secrets import MasterKey

sql = load("varsel.console")

KIND: Final = "console"


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation that the visitor acts for."""

    number: str
    name: str


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person who is logged in. `actor` stands for the person in the audit trail; `csrf` belongs into every form."""

    actor: str
    name: str
    operator: bool
    organisations: tuple[Organisation, ...]
    csrf: str = field(repr=False)

    def organisation(self, number: str) -> Organisation | None:
        """The organisation, if the visitor acts for it."""
        return next((one for one in self.organisations if one.number == number), None)

    def sent(self, token: str) -> bool:
        """Whether a form's token is this session's."""
        return compare_digest(self.csrf.encode(), token.encode("utf-8", "replace"))


class ConsoleSessions:
    """Cookies and sessions of the console (docs/reference/identity.md 7.5)."""

    def __init__(
        self, database: Database, sessions: Sessions, master_key: MasterKey, *, secure: bool
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._master_key = master_key
        self._secure = secure
        # A name with this prefix cannot be planted from a subdomain or over plain http (RFC 6265bis 4.1.3.2).
        prefix = "__Host-" if secure else ""
        self.cookie: Final = prefix + "varsel_session"
        self.login_cookie: Final = prefix + "varsel_login"

    def read(self, request: Request, name: str) -> str | None:
        """The one value of a cookie; None also when it stands twice, because one of the two was planted."""
        headers = [value for key, value in request.scope["headers"] if key == b"cookie"]
        value = single(headers, name.encode())
        return None if value is None or value is BAD else value.decode("latin-1")

    def write(self, answer: Response, name: str, value: str, life: int | None = None) -> None:
        """Set a cookie until the browser closes, for `life` seconds, or with 0 take it away."""
        answer.set_cookie(
            name,
            value,
            max_age=life,
            path="/" if self._secure else "/console",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    async def visitor(self, request: Request) -> Visitor | None:
        """Who is logged in here. What the person may do is read anew each time, so a withdrawn role ends at once."""
        handle = self.read(request, self.cookie)
        session = await self._sessions.find(KIND, handle)
        if session is None or handle is None:
            return None
        row = await self._database.fetchrow(sql.visitor, session.pid)
        assert row is not None
        found = zip(row["numbers"], row["names"], strict=True)
        return Visitor(
            actor=self.actor(session.pid),
            name=row["name"],
            operator=row["operator"],
            organisations=tuple(Organisation(number, name) for number, name in found),
            csrf=self._master_key.mac("console-form", handle.encode("latin-1")).hex(),
        )

    def actor(self, pid: str) -> str:
        return self._master_key.mac("person", pid.encode()).hex()

    async def begin(self, request: Request, answer: Response, pid: str, data: Mapping[str, Any]) -> None:
        """A new session under a new handle; the one that the browser came with, own or planted, ends."""
        await self._sessions.end(KIND, self.read(request, self.cookie))
        self.write(answer, self.cookie, await self._sessions.begin(KIND, pid, data))

    async def end(self, request: Request, answer: Response) -> None:
        await self._sessions.end(KIND, self.read(request, self.cookie))
        self.write(answer, self.cookie, "", 0)

    async def end_by_provider(self, issuer: str, sid: str) -> None:
        """The person has logged out at the provider."""
        await self._sessions.end_by_provider(issuer, sid)
