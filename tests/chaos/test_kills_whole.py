"""kill -9 of a whole Varsel at the steps that its HTTP process passes; callers repeat what they got no answer to.

The worker's steps are walked through in test_kills; here everything dies at once, the database with it, and starts again on the
same directory (design promises 1, 2, 5, 7).
"""

from __future__ import annotations

import concurrent.futures
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.varsel import Server, directory, wait_until

ORDERS = 6
BASE = "/notifications/api/v1/future"

#: step -> how often it may pass before the kill.
STEPS = {
    "accept.before_commit": 2,
    "accept.committed": 2,
    "instant.stored": 0,
    "instant.sent": 0,
    "report.stored": 1,
}
#: An e-mail whose handoff was open at the kill is settled by rule after so many seconds; a minute, the default, is all the time
#: that this test gives an order to end.
SETTLE = "1"
#: Walked through in make test; each takes two starts of a whole Varsel.
SHORT = "accept.committed"


@pytest.fixture
def data() -> Iterator[Path]:
    # Not pytest's own folder: it is closed to the account that PostgreSQL runs as when the suite runs as root.
    with tempfile.TemporaryDirectory(prefix="varsel-chaos-") as folder:
        Path(folder).chmod(0o711)
        with directory(Path(folder)) as path:
            yield path


def orders() -> dict[str, tuple[str, dict[str, Any]]]:
    """idempotency id -> (path, body): e-mails, texts and instant texts, each to somebody of its own."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for number in range(ORDERS):
        mail = {
            "emailAddress": f"u{number}@example.org",
            "emailSettings": {"subject": "Hei", "body": "Hallo"},
        }
        text = {
            "phoneNumber": f"+4790000{number:03}",
            "smsSettings": {"body": "Hei", "sendingTimePolicy": "Anytime"},
        }
        instant = {
            "phoneNumber": f"+4790001{number:03}",
            "timeToLiveInSeconds": 600,
            "smsSettings": {"body": "Kode"},
        }
        found[f"mail-{number}"] = ("/orders", {"recipient": {"recipientEmail": mail}})
        found[f"text-{number}"] = ("/orders", {"recipient": {"recipientSms": text}})
        found[f"instant-{number}"] = ("/orders/instant/sms", {"recipientSms": instant})
    return found


def place(server: Server, token: str, wanted: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, str]:
    """Post all at once; idempotency id -> shipment id of those that were answered."""

    def post(key: str) -> tuple[str, str | None]:
        path, body = wanted[key]
        try:
            with server.client(token) as client:
                answer = client.post(BASE + path, json={"idempotencyId": key} | body)
        except (httpx2.HTTPError, OSError, ValueError):
            return key, None
        if answer.status_code >= 500:
            return key, None
        assert answer.status_code in (200, 201), answer.text
        return key, answer.json()["notification"]["shipmentId"]

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        return {key: shipment for key, shipment in threads.map(post, wanted) if shipment}


@pytest.mark.parametrize(
    "step", [pytest.param(one, marks=() if one == SHORT else pytest.mark.long) for one in STEPS]
)
def test_killed_whole_at_a_step_nothing_is_lost_and_nothing_repeated(data: Path, step: str) -> None:
    wanted = orders()
    with Server(data, "--sandbox", fault_step=f"{step}:{STEPS[step]}") as armed:
        before = place(armed, armed.token(), wanted)
        assert armed.process.wait(60) == -9, f"never came to {step}"
    assert len(before) < len(wanted) or step == "report.stored"
    with Server(data, "--sandbox", unknown_settle_seconds=SETTLE) as again:
        token = again.token()
        after: dict[str, str] = {}

        def all_answered() -> bool:
            # 503 while the handoff of an instant message is not settled yet that died with its process: its caller asks again.
            after.update(place(again, token, {key: wanted[key] for key in wanted if key not in after}))
            return len(after) == len(wanted)

        # A worker whose own heartbeat is late on a busy machine waits a whole lease before it calls the dead one dead, and each round
        # of repeats waits with it.
        wait_until(all_answered, timeout=180, what="a repeat is answered")
        assert {key: after[key] for key in before} == before, "a receipt that was given stays"
        assert len(set(after.values())) == len(wanted)
        moved = again.run("sandbox", "clock", "advance", "4d")
        assert moved.returncode == 0, moved.stderr
        with again.client(token) as client:

            def feed() -> list[dict[str, Any]]:
                entries: list[dict[str, Any]] = client.get(BASE + "/shipment/feed").json()
                return entries if len(entries) >= len(wanted) else []

            entries = wait_until(feed, what="every order ends")
            messages = client.get("/sandbox/api/messages").json()
    assert sorted(entry["shipmentId"] for entry in entries) == sorted(after.values()), "each is fed once"
    numbers = [entry["sequenceNumber"] for entry in entries]
    assert numbers == sorted(set(numbers))
    received = Counter(message["to"] for message in messages)
    by_shipment = {entry["shipmentId"]: entry["recipients"][0] for entry in entries}
    for key, shipment in after.items():
        told = by_shipment[shipment]
        if told["status"].endswith("_Delivered"):
            assert received[told["destination"]] >= 1, f"{key} is told delivered, and nobody got it"
        # An e-mail whose handoff was open at the kill may be sent again; an SMS never is, it is held until its life is over.
        assert received[told["destination"]] <= (2 if key.startswith("mail") else 1), f"{key} was sent again"
