"""A whole Varsel in its sandbox: files, notices, the REST provider and webhooks, each seen from outside."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest

from tests.support.varsel import Server, directory, wait_until
from tests.unit.channels.test_smtp import free_port

BASE = "/notifications/api/v1"
CREATE = "altinn:serviceowner/notifications.create"
COMPOSED = "altinn:serviceowner/notifications.composedemail.create"


@pytest.fixture(scope="module", params=["smtp", "acs"])
def sandbox(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One sandbox for each provider of e-mail."""
    settings = {"acs_port": str(free_port())} if request.param == "acs" else {}
    with (
        directory(tmp_path_factory.mktemp("sandbox")) as data,
        Server(data, "--sandbox", **settings) as server,
    ):
        yield server


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A creator's server on this machine."""
    got: list[tuple[dict[str, str], bytes]] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", got
    server.shutdown()
    server.server_close()


def shipment(http: Any, order: Any) -> dict[str, Any]:
    answer = http.get(f"{BASE}/future/shipment/{order['notification']['shipmentId']}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ended(http: Any, order: Any) -> str:
    """The status of the order's one message, when the order has ended."""
    wait_until(lambda: shipment(http, order)["status"] == "Order_Completed", what="the order ends")
    [recipient] = shipment(http, order)["recipients"]
    return str(recipient["status"])


def email(address: str) -> dict[str, Any]:
    settings = {"subject": "Hei", "body": "Du har fått post."}
    return {
        "idempotencyId": str(uuid4()),
        "recipient": {"recipientEmail": {"emailAddress": address, "emailSettings": settings}},
    }


def composed(address: str, files: list[dict[str, str]]) -> dict[str, Any]:
    settings = {"subject": "Avtale", "body": "Ligger ved.", "attachments": files}
    return {
        "idempotencyId": str(uuid4()),
        "recipient": {"emailAddress": address, "emailSettings": settings},
    }


def test_delivered_by_the_provider_s_own_word(sandbox: Server) -> None:
    with sandbox.client(sandbox.token("--scope", CREATE)) as http:
        made = http.post(f"{BASE}/future/orders", json=email("kari@example.org"))
        assert made.status_code == 201, made.text
        assert ended(http, made.json()) == "Email_Delivered"
        bounced = http.post(f"{BASE}/future/orders", json=email("kari+bounce@example.org"))
        assert ended(http, bounced.json()) == "Email_Failed_Bounced"


def test_files_of_a_composed_mail(sandbox: Server) -> None:
    with sandbox.client(sandbox.token("--scope", COMPOSED)) as http:

        def file(name: str) -> dict[str, str]:
            told = http.get(f"/sandbox/api/files/{name}").json()
            return {**told, "mimeType": "application/pdf"}

        path = f"{BASE}/future/orders/composed-email"
        made = http.post(path, json=composed("ola@example.org", [file("avtale.pdf"), file("503-once.pdf")]))
        assert made.status_code == 201, made.text
        missing = http.post(path, json=composed("per@example.org", [file("missing.pdf")]))
        assert missing.status_code == 201, missing.text
    with sandbox.client(sandbox.token("--scope", CREATE)) as http:
        assert ended(http, missing.json()) == "Email_Failed_InvalidSasUrl"
        assert ended(http, made.json()) == "Email_Delivered"
        found = http.get("/sandbox/api/messages", params={"to": "ola@example.org"}).json()
        assert [message["subject"] for message in found] == ["Avtale"]
        assert http.get("/sandbox/api/messages", params={"to": "per@example.org"}).json() == []


def test_an_endpoint_is_told(
    sandbox: Server, endpoint: tuple[str, list[tuple[dict[str, str], bytes]]]
) -> None:
    url, got = endpoint
    with sandbox.client(sandbox.token("--scope", CREATE)) as http:
        made = http.post(f"{BASE}/future/webhooks", json={"url": url})
        assert made.status_code == 201, made.text
        webhook = made.json()
        order = http.post(f"{BASE}/future/orders", json=email("liv@example.org")).json()
        wait_until(lambda: got, what="the endpoint is told")
        headers, body = got[0]
        event = json.loads(body)
        assert event["type"] == "order.completed"
        assert event["data"]["shipmentId"] == order["notification"]["shipmentId"]
        [entry] = [
            one
            for one in http.get(f"{BASE}/future/shipment/feed").json()
            if one["shipmentId"] == event["data"]["shipmentId"]
        ]
        assert entry == event["data"]
        assert headers["webhook-id"] == f"feed-{entry['sequenceNumber']}"
        key = base64.b64decode(webhook["secret"].removeprefix("whsec_"))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{signature}"

        attempts = f"{BASE}/future/webhooks/{webhook['id']}/attempts"
        wait_until(lambda: http.get(attempts).json(), what="the attempt is kept")
        [attempt] = http.get(attempts).json()
        assert (attempt["status"], attempt["messageId"]) == (204, headers["webhook-id"])

        tested = http.post(f"{BASE}/future/webhooks/{webhook['id']}/test").json()
        wait_until(lambda: len(got) == 2, what="the test arrives")
        assert got[1][0]["webhook-id"] == tested["messageId"]
        assert http.delete(f"{BASE}/future/webhooks/{webhook['id']}").status_code == 204


def test_reports_ask_for_their_secret(sandbox: Server) -> None:
    with sandbox.client() as http:
        for query in ("", "?code=", "?code=wrong"):
            answer = http.post(f"/notifications/email/api/v1/reports{query}", json=[])
            assert answer.status_code == 401
