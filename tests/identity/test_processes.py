"""Several identity processes on one database are one authority: a grant counts once, and everybody knows every key."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2

from tests.support.checked import check_async_response
from tests.support.identity import BASE, CREATE_SCOPE, GRANT, compact, jwk, rsa_key
from tests.support.varsel import COMMAND, environment, wait_until
from varsel.identity.registry import create_client, put_keys
from varsel.identity.seed import DIGDIR
from varsel.runtime.clock import SystemMachine
from varsel.runtime.server import bind
from varsel.store.database import Database


@contextlib.contextmanager
def processes(number: int, database_url: str, folder: Path) -> Iterator[list[str]]:
    """So many `varsel identity`; their addresses."""
    running: list[subprocess.Popen[bytes]] = []
    addresses = []
    try:
        for _ in range(number):
            with contextlib.closing(bind("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            settings = environment(
                database_url=database_url,
                public_url=BASE,
                master_key_file=str(folder / "master.key"),
                token_rate="30",
            )
            with (folder / f"{port}.log").open("wb") as log:
                running.append(
                    subprocess.Popen(
                        [*COMMAND, "identity", "--port", str(port)],
                        env=settings,
                        cwd="/",
                        stdout=log,
                        stderr=log,
                    )
                )
            addresses.append(f"http://127.0.0.1:{port}")
            # The first makes the master key and the signing keys; the others find them.
            wait_until(lambda at=addresses[-1]: _answers(at), what=f"{addresses[-1]} answers")
        yield addresses
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(60)


def _answers(address: str) -> bool:
    with contextlib.suppress(httpx2.HTTPError):
        return httpx2.get(f"{address}/health", trust_env=False).status_code == 200
    return False


async def test_a_grant_counts_once_over_processes_and_limits_are_shared(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    machine = SystemMachine()
    with processes(2, database_url, tmp_path) as addresses:
        client = await create_client(
            database, machine, organisation=DIGDIR, name="acme", scopes=(CREATE_SCOPE,)
        )
        await put_keys(database, machine, client, {"keys": [jwk(rsa_key(), "k1")]})
        now = int(machine.time())
        claims = {
            "aud": f"{BASE}/maskinporten/", "iss": str(client), "scope": CREATE_SCOPE,
            "iat": now, "exp": now + 100, "jti": "one",
        }  # fmt: skip
        form = {"grant_type": GRANT, "assertion": compact({"alg": "RS256", "kid": "k1"}, claims, rsa_key())}
        async with httpx2.AsyncClient(
            trust_env=False, timeout=60, event_hooks={"response": [check_async_response]}
        ) as http:
            answers = await asyncio.gather(
                *(http.post(f"{addresses[number % 2]}/maskinporten/token", data=form) for number in range(20))
            )
            assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
            assert {answer.json()["error_uri"][-6:] for answer in answers if answer.status_code == 400} == {
                "MP-012"
            }
            # What one signed, the other shows the key of, and exchanges.
            token = next(answer.json()["access_token"] for answer in answers if answer.status_code == 200)
            for address in addresses:
                exchanged = await http.get(
                    f"{address}/authentication/api/v1/exchange/maskinporten",
                    headers={"Authorization": f"Bearer {token}"},
                )
                assert exchanged.status_code == 200
            # Thirty a minute from one address, over both of them together; a minute may end meanwhile, and begins another thirty.
            told = [await http.post(f"{addresses[number % 2]}/maskinporten/token") for number in range(45)]
            limited = [answer for answer in told if answer.status_code == 429]
            assert limited and 0 < int(limited[0].headers["retry-after"]) <= 60
