"""What Varsel adds (docs/reference/notifications-api.md 7): requests as they leave, and every call against a whole Varsel."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx2
import pytest

from tests.client.conftest import Either
from tests.client.test_orders import EMAIL, EXAMPLES
from varsel.client import (
    Attachment,
    ComposedEmail,
    ConfigurationError,
    Dialog,
    Email,
    InvalidRequest,
    NotFound,
    Notifications,
    Order,
    Reminder,
    ToEmail,
    UnexpectedAnswer,
)
from varsel.client.testing import Memory

OWN = "https://varsel.example.org"
SOME = UUID("c1f0a1b2-90d7-4b53-8f3d-4f2b6c7d8e91")


@pytest.fixture
def own():
    """A Varsel of somebody's own: no public environment."""
    return Memory(OWN)


@pytest.fixture
async def other(kind, own):
    return Either(kind(own.credentials(), http=own.http))


def last(memory):
    request = memory.requests[-1]
    return request.method, request.url.removeprefix(f"{OWN}/notifications/api/v1"), request.body


# ---- requests ----


@pytest.mark.parametrize("section", ["2.1", "2.2", "2.3", "2.10", "2.11", "2.12", "2.13"])
async def test_a_dry_run_of_every_kind(other, own, section):
    body = json.dumps({"dryRun": True, "orderCount": 1, "orders": [{"recipients": []}]}).encode()
    own.fail("/notifications/api", status=200, headers={"preference-applied": "dry-run"}, body=body)
    found = await other.dry_run(EXAMPLES[section])
    assert (found.order_count, found.orders, found.repeat) == (1, ({"recipients": []},), None)
    assert own.requests[-1].headers["prefer"] == "dry-run"
    assert json.loads(last(own)[2]) == EXAMPLES[section].wire()


@pytest.mark.parametrize("environment", ["tt02", "production", "at22", "yt01"])
async def test_a_public_environment_is_never_asked_for_a_dry_run(kind, environment):
    memory = Memory(environment)
    api = Either(kind(memory.credentials(), http=memory.http))
    with pytest.raises(ConfigurationError, match="knows no dry run and would send; nothing was sent"):
        await api.dry_run(EXAMPLES["2.10"])
    assert memory.requests == []


async def test_a_server_that_does_not_know_the_wish_is_told_apart(other):
    with pytest.raises(UnexpectedAnswer, match="this was an order"):
        await other.dry_run(EXAMPLES["2.10"])


async def test_logs_are_asked_for_by_dialog_and_transmission(other, own):
    entry = {
        "notificationId": str(SOME),
        "dialogId": str(SOME),
        "type": "Notification",
        "channel": "Email",
        "destination": "kari@example.org",
        "status": "Email_Delivered",
        "requestedSendTime": "2031-03-14T08:00:00Z",
        "lastUpdateTime": "2031-03-14T08:00:00Z",
    }
    own.fail("/future/log", status=200, body=json.dumps([entry]).encode())
    found = await other.log(dialog_id=SOME)
    assert found[0].destination == "kari@example.org"
    assert "kari" not in repr(found[0])
    assert last(own)[:2] == ("GET", f"/future/log?dialogId={SOME}")
    own.fail("/future/enduser/log", status=200, body=b"[]")
    assert await other.person_log(str(SOME), transmission_id=SOME) == ()
    assert last(own)[:2] == ("GET", f"/future/enduser/log?dialogId={SOME}&transmissionId={SOME}")
    with pytest.raises(ConfigurationError, match="Say which"):
        await other.log()
    with pytest.raises(ConfigurationError, match="is a UUID"):
        await other.log(dialog_id="../x")


async def test_a_webhook_never_shows_its_secret(other, own):
    body = {
        "id": str(SOME),
        "url": f"{OWN}/hook",
        "events": [],
        "createdAt": "2031-03-14T08:00:00Z",
        "secret": "whsec_x",
    }
    own.fail("/future/webhooks", status=201, body=json.dumps(body).encode())
    made = await other.add_webhook(f"{OWN}/hook", events=["order.completed"])
    assert json.loads(last(own)[2]) == {"url": f"{OWN}/hook", "events": ["order.completed"]}
    assert made.secret == "whsec_x"
    assert "whsec" not in repr(made)
    with pytest.raises(ConfigurationError, match="A webhook id is a UUID"):
        await other.webhook("x")


# ---- against a whole Varsel ----


def test_what_an_order_would_do(varsel_sandbox):
    order = Order(
        str(uuid4()),
        ToEmail("kari@example.org", EMAIL),
        reminders=[Reminder(to=ToEmail("kari@example.org", EMAIL), delay_days=7)],
    )
    with Notifications(varsel_sandbox.credentials()) as api:
        found = api.dry_run(order)
        assert found.order_count == 2
        assert not found.repeat
        assert "kari@example.org" not in json.dumps(found.orders)
        assert api.order(order).created
        assert api.dry_run(order).repeat


def test_the_log_of_a_dialog(varsel_sandbox):
    dialog = uuid4()
    order = Order(str(uuid4()), ToEmail("kari@example.org", Email("a", "b")), dialog=Dialog(str(dialog)))
    with Notifications(varsel_sandbox.credentials()) as api:
        receipt = api.order(order)
        api.wait_until_final(receipt.shipment_id)
        assert [one.status for one in api.log(dialog_id=dialog)] == ["Email_Delivered"]
        assert api.log(dialog_id=uuid4()) == ()


def test_a_webhook_from_start_to_end(varsel_sandbox):
    with Notifications(varsel_sandbox.credentials(org="digdir")) as api:
        made = api.add_webhook(f"{varsel_sandbox.url}/notifications/api/v1/trigger/sendemail")
        assert made.secret.startswith("whsec_")
        assert "order.completed" in made.events
        assert api.webhook(made.id).secret is None
        assert made.id in {one.id for one in api.webhooks()}
        message = api.test_webhook(made.id)
        assert message.startswith("message-")
        assert isinstance(api.webhook_attempts(made.id), tuple)
        changed = api.rotate_webhook(made.id)
        assert changed.secret != made.secret
        assert changed.previous_secret_until > datetime.now(UTC)
        api.delete_webhook(made.id)
        with pytest.raises(NotFound):
            api.webhook(made.id)
        with pytest.raises(InvalidRequest):
            api.add_webhook("not an address")


def test_a_composed_email_is_delivered(varsel_sandbox, varsel_inbox):
    to = f"{uuid4().hex}@example.org"
    scope = "altinn:serviceowner/notifications.composedemail.create"
    with Notifications(varsel_sandbox.credentials(scope=scope)) as api:
        receipt = api.order_composed_email(ComposedEmail(str(uuid4()), to, EMAIL))
    with Notifications(varsel_sandbox.credentials()) as api:
        shipment = api.wait_until_final(receipt.shipment_id, timeout=timedelta(minutes=1))
    assert (shipment.type, shipment.status) == ("Composed", "Order_Completed")
    assert varsel_inbox.expect(to).subject == EMAIL.subject


def test_a_composed_email_with_files_is_followed_to_its_end(varsel_sandbox, varsel_inbox):
    scope = "altinn:serviceowner/notifications.composedemail.create"

    def ended(name):
        to = f"{uuid4().hex}@example.org"
        files = [
            Attachment(one, "application/pdf", varsel_sandbox.file_url(one)) for one in ("vedtak.pdf", name)
        ]
        with Notifications(varsel_sandbox.credentials(scope=scope)) as api:
            receipt = api.order_composed_email(ComposedEmail(str(uuid4()), to, EMAIL, files))
        with Notifications(varsel_sandbox.credentials()) as api:
            shipment = api.wait_until_final(receipt.shipment_id)
            entries = [one for one in api.feed(follow=False) if one.shipment_id == receipt.shipment_id]
        assert [one.status for one in entries] == [shipment.status]
        return to, shipment.recipients[0].status

    to, status = ended("klage på vedtak.pdf")
    assert status == "Email_Delivered"
    with httpx2.Client(base_url=varsel_sandbox.url, follow_redirects=True) as browser:
        page = browser.get(f"/console/inbox/{varsel_inbox.expect(to).id}").text
    assert "vedtak.pdf" in page
    assert "klage på vedtak.pdf" in page
    to, status = ended("missing-x.pdf")
    assert status.startswith("Email_Failed")
    varsel_inbox.expect_none(to)
