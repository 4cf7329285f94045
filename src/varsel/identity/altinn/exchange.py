"""The token exchange (docs/reference/identity.md 5.1 to 5.5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from varsel.identity.altinn.claims import (
    Person,
    consumer_of,
    machine_claims,
    may_exchange_person,
    person_claims,
    wants_code,
)
from varsel.identity.audit import AuditLog, Event
from varsel.identity.gathering import Gatherer
from varsel.identity.jws import RSA_ALL, MalformedToken, read
from varsel.identity.signing import Signer
from varsel.identity.tokens import InvalidToken, TokenChecker
from varsel.runtime.clock import Machine
from varsel.runtime.errors import VarselError
from varsel.runtime.metrics import counter
from varsel.store.database import Database
from varsel.store.queries import load

sql = load("varsel.identity")
_issued: Final = counter("tokens_issued")

PROVIDERS: Final = ("maskinporten", "id-porten", "altinnstudio")
TEST_OWNER: Final = "digdir"
TEST_CODE: Final = "ttd"


class UnknownProvider(VarselError):
    """There is no such token provider."""


class NotAllowed(VarselError):
    """The token counts, but it may not be exchanged."""


class EnterpriseUserGone(VarselError):
    """Enterprise users are no longer available."""


@dataclass(frozen=True, slots=True)
class Request:
    """One exchange as asked for."""

    provider: str
    token: bytes | None
    test: bool = False
    enterprise_user: bool = False


class Exchange:
    """Swaps tokens of Maskinporten and ID-porten for Altinn tokens."""

    def __init__(
        self,
        database: Database,
        machine: Machine,
        signer: Signer,
        trail: AuditLog,
        *,
        issuer: str,
        production: bool,
    ) -> None:
        self.issuer = issuer
        self._database = database
        self._machine = machine
        self._signer = signer
        self._trail = trail
        self._production = production
        self._checkers: dict[str, TokenChecker] = {}
        self._alive: dict[str, Callable[[object], Awaitable[bool]]] = {}
        self._codes: Gatherer[str, str | None] = Gatherer(self._look_up)

    def trust(
        self,
        provider: str,
        checker: TokenChecker,
        alive: Callable[[object], Awaitable[bool]] | None = None,
    ) -> None:
        """Tokens of `maskinporten` or `id-porten` are decided on by this checker, with its one issuer and its key set.

        `alive` tells from a token's `jti` whether it has been ended since; where that can be known.
        """
        self._checkers[provider] = checker
        if alive is not None:
            self._alive[provider] = alive

    async def exchange(self, request: Request) -> str:
        """The Altinn token.

        Raises InvalidToken (401), UnknownProvider (400), NotAllowed (403), EnterpriseUserGone (410), IssuerUnavailable (503).
        """
        if not request.token:
            raise InvalidToken("no token was sent")
        try:
            read(request.token, RSA_ALL)
        except MalformedToken as error:
            raise InvalidToken(str(error)) from None
        provider = request.provider.lower()
        if provider not in PROVIDERS:
            raise UnknownProvider
        checker = self._checkers.get(provider)
        if checker is None:
            raise InvalidToken("tokens of this provider are not taken here")
        verified = await checker.check(request.token)
        if not isinstance(verified.claims.get("scope"), str) or not isinstance(
            verified.claims.get("client_id"), str
        ):
            raise InvalidToken("this is not an access token")
        alive = self._alive.get(provider)
        if alive is not None and not await alive(verified.claims.get("jti")):
            raise InvalidToken("the token has been ended")
        now = int(self._machine.time())
        if provider == "maskinporten":
            claims = await self._organisation(verified.claims, request, now)
        else:
            claims = await self._person(verified.claims, now, verified.expires)
        details = {"scope": claims["scope"], "jti": claims.get("jti"), "code": claims.get("urn:altinn:org")}
        number = claims.get("urn:altinn:orgNumber")
        await self._trail.record(
            Event(str(claims["client_id"]), "token.exchanged", provider, number, details)
        )
        token = await self._signer.sign("altinn", claims)
        _issued.labels("altinn").inc()
        return token

    async def _organisation(self, incoming: Any, request: Request, now: int) -> dict[str, Any]:
        number = consumer_of(incoming)
        if request.enterprise_user:
            raise EnterpriseUserGone
        code = await self._codes.submit(number) if wants_code(incoming) else None
        if request.test and code == TEST_OWNER and not self._production:
            code = TEST_CODE
        return machine_claims(incoming, number, code, self.issuer, now=now)

    async def _look_up(self, numbers: Sequence[str]) -> Sequence[str | None]:
        """The service owners' codes of several numbers, in one statement."""
        codes = {
            row["number"]: row["code"] for row in await self._database.fetch(sql.codes_of, list(set(numbers)))
        }
        return [codes.get(number) for number in numbers]

    async def _person(self, incoming: Any, now: int, expires: int) -> dict[str, Any]:
        if not may_exchange_person(incoming):
            raise NotAllowed
        pid = incoming.get("pid")
        row = await self._database.fetchrow(sql.person_of, pid) if isinstance(pid, str) else None
        if row is None:
            raise InvalidToken("the person is not known")
        person = Person(row["pid"], row["user_id"], row["party_id"], row["party_uuid"], row["username"])
        return person_claims(incoming, person, self.issuer, now, expires)
