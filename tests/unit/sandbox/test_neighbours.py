"""The sandbox's stand-ins for registers and for callers' own servers, asked by the code that asks the real ones."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.unit.channels.test_smtp import free_port
from varsel.delivery.conditions import HttpConditions
from varsel.recipients import contacts
from varsel.recipients.http_registers import HttpRegisters, open_registers
from varsel.recipients.registers import BuiltinRegisters
from varsel.runtime.clock import ManualClock, SystemMachine
from varsel.runtime.errors import RegisterUnavailable
from varsel.runtime.outbound import GuardedClient
from varsel.runtime.settings import Settings
from varsel.sandbox.callers import CONDITIONS, HOOKS, Callers
from varsel.sandbox.files import FileHost
from varsel.sandbox.registers import FATES, RegisterSimulator
from varsel.sandbox.room import SandboxRoom
from varsel.store.database import Database

from .test_room_messages import NOW

KARI, OLA = "05887899891", "17849012320"
COMPANY = "312718286"
URN = "urn:altinn:person:idporten-email:ola@example.org"
KNOWN = (
    {"person": KARI, "name": "Kari", "email": "kari@example.org", "mobile": "+4799999999"},
    {"person": OLA, "reserved": True},
    {
        "organization": COMPANY,
        "name": "Testkommune",
        "emails": ["post@example.org"],
        "users": [
            {"person": KARI, "email": "kari@work.example.org", "resources": ["urn:altinn:resource:one"]},
            {"person": OLA, "mobile": "+4798888888"},
        ],
    },
    {"identity": URN, "email": "ola@example.org"},
)


async def instantly(_: float) -> None:
    """No test waits."""


@pytest.fixture
async def builtin(database: Database) -> BuiltinRegisters:
    await contacts.store(database, contacts.read([json.dumps(one).encode() for one in KNOWN]))
    return BuiltinRegisters(database, sandbox=True)


@pytest.fixture
async def simulator(builtin: BuiltinRegisters) -> AsyncIterator[RegisterSimulator]:
    simulator = RegisterSimulator("127.0.0.1", 0, builtin, sleep=instantly)
    await simulator.start()
    yield simulator
    await simulator.close()


@pytest.fixture
async def asked(simulator: RegisterSimulator) -> AsyncIterator[HttpRegisters]:
    settings = Settings(
        profile_url=simulator.profile_url,
        register_url=simulator.register_url,
        authorization_url=simulator.authorization_url,
    )
    registers = HttpRegisters(settings, None, SystemMachine())  # type: ignore[arg-type]  # everything is asked over HTTP
    yield registers
    await registers.close()


async def test_registers_say_over_http_what_the_contacts_hold(
    asked: HttpRegisters, builtin: BuiltinRegisters
) -> None:
    everybody = [KARI, OLA, "01010112345"]
    pairs = [(KARI, COMPANY), (OLA, COMPANY)]
    for one in (asked, builtin):
        persons = await one.persons(everybody, use_stale=False)
        assert (persons[KARI].email, persons[OLA].reserved, len(persons)) == ("kari@example.org", True, 2)
    assert await asked.persons(everybody, use_stale=True) == await builtin.persons(everybody, use_stale=True)
    assert await asked.organizations([COMPANY]) == await builtin.organizations([COMPANY])
    assert await asked.organization_users([COMPANY], "x") == await builtin.organization_users([COMPANY], "x")
    assert await asked.identities([URN]) == await builtin.identities([URN])
    assert await asked.names([KARI], [COMPANY]) == {KARI: "Kari", COMPANY: "Testkommune"}
    assert await asked.authorize(pairs, "urn:altinn:resource:one", "read") == set(pairs)
    assert await asked.authorize(pairs, "urn:altinn:resource:two", "read") == {(OLA, COMPANY)}
    assert await asked.authorize([(KARI, COMPANY)], "app_ttd_two", "read") == set()


@pytest.mark.parametrize("digits", FATES)
async def test_numbers_make_registers_fail(asked: HttpRegisters, digits: str) -> None:
    word, fate, _ = FATES[digits]
    number = "0101011" + digits
    if word in ("slow", "once", "empty"):
        # Time does not pass here; one refusal is repeated by the client.
        assert await asked.persons([number], use_stale=False) == {}
        return
    assert fate.status != 200 or fate.body or fate.drop
    with pytest.raises(RegisterUnavailable):
        await asked.persons([number], use_stale=False)
    # Others are not affected.
    assert KARI in await asked.persons([KARI], use_stale=False)


async def test_resources_make_the_decision_point_fail(asked: HttpRegisters) -> None:
    with pytest.raises(RegisterUnavailable):
        await asked.authorize([(KARI, COMPANY)], "urn:altinn:resource:sandbox-down", "read")
    assert await asked.authorize([(OLA, COMPANY)], "urn:altinn:resource:sandbox-once", "read") == {
        (OLA, COMPANY)
    }


async def test_a_sandbox_asks_them_where_a_port_says_so(database: Database) -> None:
    settings = Settings(smtp_inbox_port=0, register_port=free_port())
    clock = ManualClock(NOW)
    room = await SandboxRoom.open(settings, database, clock, clock)
    try:
        told = room.with_providers(settings)
        registers = open_registers(told, database, clock, sandbox=True)
        assert isinstance(registers, HttpRegisters)
        with pytest.raises(RegisterUnavailable):
            await registers.names(["01010119102"], [])
        assert await registers.names([], [COMPANY]) == {}
        await registers.close()
        kept = settings.replace(profile_url="http://127.0.0.1:1/")
        assert room.with_providers(kept).profile_url == "http://127.0.0.1:1/", (
            "a register of the owner's stays"
        )
    finally:
        await room.close()


@pytest.fixture
async def callers() -> AsyncIterator[FileHost]:
    host = FileHost("127.0.0.1", 0, beside=Callers(sleep=instantly).routes())
    await host.start()
    yield host
    await host.close()


@pytest.mark.parametrize("word", CONDITIONS)
async def test_conditions_answer_as_their_word_says(callers: FileHost, word: str) -> None:
    client = GuardedClient(SystemMachine(), sandbox=True)
    conditions = HttpConditions(client, 5)
    address = f"{callers.origin}/conditions/{word}"
    try:
        first, second = [await conditions.ask(address) for _ in range(2)]
    finally:
        await client.close()
    wanted = {
        "true": (True, True),
        "false": (False, False),
        "once-503-true": (None, True),
        "once-503-false": (None, False),
        "slow": (True, True),
    }
    assert (first, second) == wanted.get(word, (None, None))


async def test_hooks_take_and_refuse_and_remember(callers: FileHost) -> None:
    async with aiohttp.ClientSession() as http:

        async def post(word: str, message_id: str) -> int:
            headers = {
                "webhook-id": message_id,
                "webhook-signature": "v1,x",
                "content-type": "application/json",
            }
            async with http.post(f"{callers.origin}/hooks/{word}", data=b"{}", headers=headers) as answer:
                return answer.status

        assert await post("mine", "feed-1") == 204
        assert [await post("once-503", "feed-2") for _ in range(2)] == [503, 204]
        assert await post("once-503", "feed-3") == 503, "each event has a first try"
        assert [await post(word, "feed-4") for word in HOOKS if word != "once-503"] == [500, 410, 204]
        async with http.get(f"{callers.origin}/hooks") as answer:
            found = await answer.json()
    assert [one["headers"]["webhook-id"] for one in found[:3]] == ["feed-1", "feed-2", "feed-2"]
    assert found[0] == {
        "path": "/hooks/mine",
        "headers": {"webhook-id": "feed-1", "webhook-signature": "v1,x"},
        "body": "{}",
    }
