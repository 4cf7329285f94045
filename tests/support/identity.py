"""A running identity room over HTTP in memory, with keys, integrations and grants made by hand, also wrong ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from varsel.identity import keys
from varsel.identity.registry import CREATE_SCOPE, create_client, put_keys
from varsel.identity.room import IdentityRoom
from varsel.identity.seed import DIGDIR
from varsel.runtime.clock import ManualClock
from varsel.runtime.endpoints import Call, Caller, Policy
from varsel.runtime.settings import Settings
from varsel.runtime.trace import Trace
from varsel.store.database import Database, Listener
from varsel.store.secrets import MasterKey

BASE = "http://varsel.test"
START = datetime(2026, 7, 15, 10, 0, 0, tzinfo=UTC)
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def uint64(number: int) -> str:
    return b64(number.to_bytes((number.bit_length() + 7) // 8))


def rsa_key(name: str = "first", bits: int = 2048) -> rsa.RSAPrivateKey:
    """The same key for the same name in this process: making keys is slow."""
    return _rsa_key(name, bits)


@cache
def _rsa_key(name: str, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def jwk(key: rsa.RSAPrivateKey, kid: str = "k1", **members: Any) -> dict[str, Any]:
    """The public half; a member given as None is left out."""
    numbers = key.public_key().public_numbers()
    found = {
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": kid,
        "n": uint64(numbers.n),
        "e": uint64(numbers.e),
    }
    return {name: value for name, value in (found | members).items() if value is not None}


def compact(
    header: Mapping[str, Any] | bytes,
    payload: Mapping[str, Any] | bytes,
    key: rsa.RSAPrivateKey | None,
    hash_: Any = None,
) -> str:
    """A compact JWS of whatever is given; unsigned (empty third part) without a key."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signed = f"{b64(head)}.{b64(body)}"
    if key is None:
        return signed + "."
    return f"{signed}.{b64(key.sign(signed.encode(), padding.PKCS1v15(), hash_ or hashes.SHA256()))}"


def payload_of(token: str) -> dict[str, Any]:
    return _part(token, 1)


def header_of(token: str) -> dict[str, Any]:
    return _part(token, 0)


def _part(token: str, position: int) -> dict[str, Any]:
    text = token.split(".")[position]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


_primes: list[int] = []
_pairs = ((left, right) for right in count(1) for left in range(right))


def _cheap_pair() -> rsa.RSAPrivateKey:
    """An RSA key never given before in this process, of a pair of primes from a small stock.

    Finding primes would be most of the time of a test, and n primes make n(n-1)/2 keys.
    """
    left, right = next(_pairs)
    while len(_primes) <= right:
        made = _new_pair().private_numbers()
        _primes.extend((made.p, made.q))
    p, q = _primes[left], _primes[right]
    e = 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=p, q=q, d=d, dmp1=d % (p - 1), dmq1=d % (q - 1), iqmp=pow(q, -1, p),
        public_numbers=rsa.RSAPublicNumbers(e, p * q),
    )  # fmt: skip
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


_new_pair = keys._new_pair


def make_keys_cheaply() -> None:
    """From now on this process makes signing keys from the stock."""
    keys._new_pair = _cheap_pair


@dataclass
class World:
    """The room, its clock and a client that speaks HTTP to it."""

    room: IdentityRoom
    database: Database
    clock: ManualClock
    master_key: MasterKey
    settings: Settings
    http: httpx2.AsyncClient
    folder: Path
    client_id: str = ""

    @property
    def now(self) -> int:
        return int(self.clock.time())

    @property
    def issuer(self) -> str:
        return self.settings.base_url + "/maskinporten/"

    def claims(self, **changes: Any) -> dict[str, Any]:
        """A right grant's claims with changes; a claim given as None is left out, `...` sends null."""
        found = {
            "aud": self.issuer,
            "iss": self.client_id,
            "scope": CREATE_SCOPE,
            "iat": self.now,
            "exp": self.now + 100,
            "jti": str(uuid4()),
        } | changes
        return {name: None if value is ... else value for name, value in found.items() if value is not None}

    def grant(self, *, key: str = "first", header: Mapping[str, Any] | None = None, **changes: Any) -> str:
        head = {"alg": "RS256", "kid": "k1"} if header is None else header
        return compact(head, self.claims(**changes), rsa_key(key))

    async def token_request(self, assertion: str, **changes: Any) -> httpx2.Response:
        return await self.http.post(
            "/maskinporten/token", data={"grant_type": GRANT, "assertion": assertion} | changes
        )

    async def maskinporten_token(self, **changes: Any) -> str:
        answer = await self.token_request(self.grant(**changes))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def exchange(self, token: str, provider: str = "maskinporten", **options: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"} | options.pop("headers", {})
        return await self.http.get(f"/authentication/api/v1/exchange/{provider}", headers=headers, **options)

    async def altinn_token(self, **changes: Any) -> str:
        answer = await self.exchange(await self.maskinporten_token(**changes))
        assert answer.status_code == 200, answer.text
        return answer.text

    async def new_client(
        self, organisation: str = DIGDIR, key: str = "first", kid: str = "k1", **options: Any
    ) -> str:
        options.setdefault("scopes", (CREATE_SCOPE,))
        client = await create_client(
            self.database, self.clock, organisation=organisation, name="acme", **options
        )
        await put_keys(self.database, self.clock, client, {"keys": [jwk(rsa_key(key), kid)]})
        return str(client)

    async def authorize(
        self,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        policy: Policy = Policy.CREATE,
        method: str = "POST",
        server: tuple[str, int] = ("127.0.0.1", 5090),
    ) -> Caller:
        """Ask the authorizer as the router does."""
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        found: dict[bytes, list[bytes]] = {b"host": [b"varsel.test"]}
        for name, value in pairs:
            found.setdefault(name.lower().encode(), []).append(value.encode("latin-1"))
        path = "/notifications/api/v1/future/orders"
        call = Call(method, path, {}, b"", found, b"", Caller(), Trace(), {"server": server}, None)  # type: ignore[arg-type]
        return await self.room.authorizer.authorize(policy, call)


async def open_world(
    database: Database,
    folder: Path,
    *,
    sandbox: bool = True,
    listener: Listener | None = None,
    outbound: Any = None,
    **settings: Any,
) -> World:
    """A room of its own with one integration of Digdir that holds the key `first` as `k1`."""
    chosen = Settings(**({"public_url": BASE} | settings))
    clock = ManualClock(START)
    master_key = MasterKey.load(folder / "master.key")
    make_keys_cheaply()
    room = await IdentityRoom.open(
        chosen, database, clock, master_key, sandbox=sandbox, listener=listener, outbound=outbound
    )
    http = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=room.app, raise_app_exceptions=False), base_url=BASE
    )
    world = World(room, database, clock, master_key, chosen, http, folder)
    world.client_id = await world.new_client()
    return world


async def close_world(world: World) -> None:
    await world.http.aclose()
    await world.room.close()


class SelfServiceCaller:
    """Speaks to the self-service API as an organisation with scopes."""

    def __init__(self, world: World, token: str) -> None:
        self._world = world
        self._headers = {"Authorization": f"Bearer {token}"}

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        headers = self._headers | options.pop("headers", {})
        if body is not None:
            options["content"] = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        base = options.pop("base", "/selfservice/api/v1")
        return await self._world.http.request(method, base + path, headers=headers, **options)


ALL_DCR = ("idporten:dcr.read", "idporten:dcr.modify", "idporten:dcr.write")


async def self_service(
    world: World, organisation: str = DIGDIR, scopes: Sequence[str] = ALL_DCR
) -> SelfServiceCaller:
    """A caller of an organisation; scopes that are not for everybody are granted first."""
    await world.database.execute(
        "insert into organisation (number, name) values ($1, '') on conflict do nothing", organisation
    )
    for scope in scopes:
        await world.database.execute(
            "insert into scope_access (scope, consumer, state) values ($1, $2, 'APPROVED') on conflict do nothing",
            scope,
            organisation,
        )
    client = await world.new_client(organisation, scopes=scopes)
    return SelfServiceCaller(world, await world.maskinporten_token(iss=client, scope=" ".join(scopes)))


ORDERS = "/notifications/api/v1/future/orders"
COMPOSED = ORDERS + "/composed-email"
FEED = "/notifications/api/v1/future/shipment/feed"
DASHBOARD = "/notifications/api/v1/future/dashboard/recipients/notifications/nin"
LOG = "/notifications/api/v1/future/enduser/log"
METRICS = "/notifications/api/v1/metrics/sms"
REPORTS = "/notifications/sms/api/v1/reports"
