"""Line 84 of docs/reference/identity.md 10.5: after every kind of refusal, nothing secret and nobody's number is in the log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from tests.security.forging import right_claims, right_key
from tests.security.shared import KEYS
from tests.support.identity import compact, jwk, rsa_key, self_service, uint64
from tests.support.running import Endpoints, RunningWorld, an_order, close_running, open_running
from varsel.runtime.logs import configure_logging
from varsel.runtime.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="session")

PID = "17849012320"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that this process logs, down to the smallest level."""
    root = logging.getLogger()
    handlers, level, ours = list(root.handlers), root.level, logging.getLogger("varsel").level
    before = structlog.get_config()
    stream = io.StringIO()
    configure_logging(Settings(log_level="debug", log_format="json"), stream)
    yield stream
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("varsel").setLevel(ours)
    logging.captureWarnings(False)


async def test_084_nothing_secret_is_logged(shared_world: RunningWorld, log: io.StringIO) -> None:
    world = await open_running(
        shared_world.database, shared_world.folder, access_log=True, log_level="debug", **KEYS
    )
    api = Endpoints(world)
    token = await world.altinn_token(pid=PID)
    secret = uint64(rsa_key("second").private_numbers().d)
    key, header = right_key(world, "N")
    expired = compact(header, right_claims(world, "N") | {"exp": world.now - 60}, key)
    order = an_order().replace(b"kari@example.org", b"kari.nordmann@example.org")
    seen = [
        await api.order({"Authorization": f"Bearer {token}"}, content=order),
        await api.order({"Authorization": f"Bearer {expired}"}),
        await api.order({"Authorization": f"Bearer {token}x"}),
        await api.order({"PlatformAccessToken": token}),
        await api.order({"Cookie": f"AltinnStudioRuntime={token}"}),
        await api.http.get(f"/notifications/api/v1/future/shipment/feed?access_token={token}"),
        await api.order({"Authorization": f"Bearer {token}"}, content=b'{"recipient": "' + PID.encode()),
        await world.exchange(token),
        await world.token_request(world.grant(key="attacker", pid=PID)),
        await world.token_request(world.grant(scope="x", pid=PID)),
        await world.http.post("/maskinporten/token?assertion=" + world.grant()),
        await world.http.get(f"/selfservice/api/v1/clients/{PID}", headers={"Authorization": token}),
        await world.http.get("/dev/tokens/GetPersonalToken", params={"pid": PID}),
        await world.http.post("/idporten/token", data={"client_secret": "hunter2hunter2", "code": token}),
        await world.http.get("/idporten/authorize", params={"state": token, "login_hint": PID}),
    ]
    caller = await self_service(world)
    private = jwk(rsa_key("second"), "k2", d=secret)
    seen.append(await caller("POST", f"/clients/{world.client_id}/jwks", {"keys": [private]}))
    # A failure inside a handler, with all of it in its variables.
    await world.database.execute("alter table idempotency rename to idempotency_away")
    try:
        seen.append(await api.order({"Authorization": f"Bearer {token}"}, content=order))
    finally:
        await world.database.execute("alter table idempotency_away rename to idempotency")
    await api.http.aclose()
    await close_running(world)
    assert seen[0].status_code == 201 and seen[-1].status_code in (500, 503)

    lines = log.getvalue()
    assert len(lines.splitlines()) > len(seen) // 2, "the requests are logged"
    assert all(json.loads(line)["event"] for line in lines.splitlines())
    found = [
        word
        for word in ("eyJ", '"d":', '\\"d\\":', "BEGIN", secret[:40], PID, "kari.nordmann", "hunter2")
        if word in lines
    ]
    assert found == []
