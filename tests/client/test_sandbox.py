"""The client against a whole Varsel: one order of every kind, placed and followed; and the fixtures that users get."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta

import pytest

from varsel.client import (
    AltinnTokens,
    AsyncNotifications,
    ClassicEmailOrder,
    ClassicOrder,
    ClassicRecipient,
    ClassicSmsOrder,
    Conflict,
    Email,
    EmailAndSms,
    EmailOnly,
    EmailPreferred,
    EmailTemplate,
    Forbidden,
    InstantEmail,
    InstantSms,
    InvalidRequest,
    Maskinporten,
    NotFound,
    Notifications,
    Order,
    RecipientUnreachable,
    Reminder,
    SelfService,
    SendingTime,
    Sms,
    SmsOnly,
    SmsPreferred,
    SmsTemplate,
    ToEmail,
    ToIdentity,
    ToOrganization,
    ToPerson,
    ToPhone,
    Unauthorized,
)
from varsel.client.testing import Sandbox, SandboxError

EMAIL = Email("Ny melding", "Logg inn for å lese.")
SMS = Sms("Du har en ny melding.", sending_time=SendingTime.ANYTIME)
PERSON = "17849012320"
ORGANIZATION = "312718286"
IDENTITY = "urn:altinn:person:idporten-email:selv@example.org"


def new_id() -> str:
    return os.urandom(8).hex()


@pytest.fixture(scope="module")
def sandbox(varsel_sandbox):
    varsel_sandbox.add_contacts(
        [
            {
                "person": PERSON,
                "name": "Kari Prøve",
                "email": "kari.prove@example.org",
                "mobile": "+4799999901",
            },
            {
                "organization": ORGANIZATION,
                "name": "Testkommune",
                "emails": ["post@example.org"],
                "mobiles": ["+4799999902"],
            },
            {"identity": IDENTITY, "email": "selv@example.org"},
        ]
    )
    return varsel_sandbox


@pytest.fixture
def api(sandbox):
    with Notifications(sandbox.credentials()) as client:
        yield client


ORDERS = {
    "email": lambda to: Order(new_id(), ToEmail(to, EMAIL)),
    "sms": lambda _: Order(new_id(), ToPhone("+4799999903", SMS)),
    "person": lambda _: Order(
        new_id(), ToPerson(PERSON, EmailPreferred(EMAIL, SMS), ignore_reservation=False)
    ),
    "person by both": lambda _: Order(new_id(), ToPerson(PERSON, EmailAndSms(EMAIL, SMS))),
    "organisation": lambda _: Order(new_id(), ToOrganization(ORGANIZATION, SmsPreferred(EMAIL, SMS))),
    "identity": lambda _: Order(new_id(), ToIdentity(IDENTITY, EmailOnly(EMAIL))),
}


@pytest.mark.parametrize("which", list(ORDERS))
def test_an_order_of_every_kind_is_delivered(api, which):
    receipt = api.order(ORDERS[which](f"{new_id()}@example.org"))
    assert receipt.created
    shipment = api.wait_until_final(receipt.shipment_id)
    assert shipment.status == "Order_Completed"
    assert shipment.is_delivered
    assert len(shipment.recipients) == (2 if which == "person by both" else 1)


def test_instant_orders(api):
    for receipt in (
        api.send_sms(InstantSms(new_id(), "+4799999903", Sms("Engangskode: 482913"), 360)),
        api.send_sms_deprecated(InstantSms(new_id(), "+4799999903", Sms("Engangskode: 104466"))),
        api.send_email(InstantEmail(new_id(), "kari@example.org", EMAIL)),
    ):
        assert api.wait_until_final(receipt.shipment_id).type == "Instant"


def test_classic_orders(api):
    to = ClassicRecipient(email="kari@example.org", mobile="+4799999903")
    reference = new_id()
    common = {"recipients": [to], "senders_reference": reference}
    receipts = [
        api.order_classic(ClassicEmailOrder(subject="Ny melding", body="Hei", **common)),
        api.order_classic(ClassicSmsOrder(body="Hei", **common)),
        api.order_classic(
            ClassicOrder(
                channel="EmailPreferred", email=EmailTemplate("a", "b"), sms=SmsTemplate("b"), **common
            )
        ),
    ]
    assert {one.id for one in api.stored_orders(reference)} == {one.order_id for one in receipts}
    first = receipts[0].order_id
    api.wait_until_final(first)
    assert api.stored_order(first).email_template.subject == "Ny melding"
    assert api.order_status(first).processing_status.status == "Completed"
    assert api.order_status(first).notifications_status_summary.email.succeeded == 1
    assert api.email_results(first).notifications[0].succeeded
    assert api.sms_results(first).generated == 0


def test_a_lookup_of_a_classic_order(api):
    recipients = [
        ClassicRecipient(national_identity_number=PERSON),
        ClassicRecipient(organization_number="310000000"),
    ]
    lookup = api.order_classic(ClassicSmsOrder(recipients=recipients, body="Hei")).recipient_lookup
    assert lookup.status == "PartialSuccess"
    assert lookup.missing_contact == ("310000000",)


def test_a_reminder_arrives_when_the_calendar_moves(api, varsel_sandbox, varsel_inbox):
    to = f"{new_id()}@example.org"
    reminder = Reminder(to=ToEmail(to, Email("Påminnelse", "Husk.")), delay_days=7)
    receipt = api.order(Order(new_id(), ToEmail(to, EMAIL), reminders=[reminder]))
    api.wait_until_final(receipt.shipment_id)
    varsel_inbox.expect(to, channel="email", containing="Ny melding")
    varsel_inbox.expect_none(to, containing="Påminnelse")
    varsel_sandbox.advance(timedelta(days=7, minutes=1))
    assert varsel_inbox.expect(to, containing="Husk").subject == "Påminnelse"
    varsel_sandbox.reset_clock()


def test_cancelling(api):
    later = datetime.now(UTC) + timedelta(days=400)
    order = Order(
        new_id(),
        ToEmail("kari@example.org", EMAIL),
        send_at=later,
        reminders=[Reminder(to=ToPhone("+4799999903", SMS), delay_days=1)],
    )
    receipt = api.order(order)
    assert api.cancel(receipt.shipment_id).processing_status.status == "Cancelled"
    assert api.shipment(receipt.shipment_id).status == "Order_Cancelled"
    assert api.shipment(receipt.reminders[0].shipment_id).status == "Order_Registered"
    api.cancel_chain(receipt.order_id)
    assert api.shipment(receipt.reminders[0].shipment_id).status == "Order_Cancelled"
    assert api.receipt(receipt.order_id).shipment_id == receipt.shipment_id
    done = api.order(ORDERS["email"]("kari@example.org"))
    api.wait_until_final(done.shipment_id)
    with pytest.raises(Conflict):
        api.cancel(done.shipment_id)


def test_idempotency(api):
    order = ORDERS["email"]("kari@example.org")
    first = api.order(order)
    again = api.order(order)
    other = api.order(Order(order.idempotency_id, ToEmail("ola@example.org", EMAIL)))
    assert (first.created, again.created, other.created) == (True, False, False)
    assert first.shipment_id == again.shipment_id == other.shipment_id
    assert other.body_differs
    assert not again.body_differs


def test_refusals(api, sandbox):
    with pytest.raises(RecipientUnreachable) as caught:
        api.order(Order(new_id(), ToPerson("12839010182", SmsOnly(SMS))))
    assert caught.value.code == "NOT-00001"
    assert caught.value.trace_id
    with pytest.raises(InvalidRequest) as caught:
        api.order(Order(new_id(), ToPhone("+4750000004", SMS)))
    assert list(caught.value.errors) == ["Recipient.RecipientSms.PhoneNumber"]
    with pytest.raises(NotFound):
        api.shipment("6f2c0a51-3d0e-4b7e-9a55-0d2b8c6f1e10")
    with (
        Notifications(sandbox.credentials(scope="altinn:serviceowner/instances.read")) as other,
        pytest.raises(Forbidden),
    ):
        other.order(ORDERS["email"]("kari@example.org"))
    with Notifications("aa.bb.cc", environment=sandbox.url) as nobody, pytest.raises(Unauthorized):
        nobody.order(ORDERS["email"]("kari@example.org"))


async def test_the_feed_is_followed_from_a_file(sandbox, tmp_path):
    async with AsyncNotifications(sandbox.credentials(org="digdir")) as api:
        cursor = tmp_path / "cursor"
        seen = []

        async def follow():
            async for entry in api.feed(cursor):
                seen.append(entry.shipment_id)
                if len(seen) == 3:
                    return

        follower = asyncio.create_task(follow())
        receipts = [await api.order(ORDERS["email"]("kari@example.org")) for _ in range(3)]
        await asyncio.wait_for(follower, 30)
        assert {one.shipment_id for one in receipts} == set(seen)
        assert [one async for one in api.feed(cursor, follow=False)]


def test_the_whole_road_with_a_key_of_ones_own(sandbox, key, tmp_path):
    path = tmp_path / "key.json"
    import json

    path.write_text(json.dumps(key.private_jwk()), "utf-8")
    path.chmod(0o600)
    made = json.loads(sandbox.command("integration", "create", "acme-varsel", "--key", str(path), "--json"))
    source = Maskinporten(made["integration"]["client_id"], key, environment=sandbox.environment)
    tokens = AltinnTokens(source)
    with Notifications(tokens) as api:
        receipt = api.order(ORDERS["email"]("kari@example.org"))
        assert api.wait_until_final(receipt.shipment_id).is_delivered
    assert source.token().scope == "altinn:serviceowner/notifications.create"
    source.close()


async def test_many_orders_at_once_are_neither_lost_nor_repeated(sandbox):
    async with AsyncNotifications(sandbox.credentials()) as api:
        gate = asyncio.Semaphore(50)

        async def one():
            async with gate:
                return await api.order(
                    Order(
                        new_id(),
                        ToEmail("kari@example.org", EMAIL),
                        send_at=datetime.now(UTC) + timedelta(days=300),
                    )
                )

        receipts = await asyncio.gather(*(one() for _ in range(200)))
    assert len({one.order_id for one in receipts}) == 200
    assert all(one.created for one in receipts)


# ---- the fixtures ----


def test_the_inbox_tells_what_is_missing(varsel_inbox):
    with pytest.raises(AssertionError, match="0 of 2 expected messages"):
        varsel_inbox.expect("nobody@example.org", count=2, within=0.1)


def test_the_inbox_tells_what_is_too_much(api, varsel_inbox):
    to = f"{new_id()}@example.org"
    api.wait_until_final(api.order(ORDERS["email"](to)).shipment_id)
    message = varsel_inbox.expect(to)
    assert (message.channel, message.to, message.subject) == ("email", to, "Ny melding")
    assert message.received_at.utcoffset() == timedelta(0)
    with pytest.raises(AssertionError, match="none was expected"):
        varsel_inbox.expect_none(to)
    varsel_inbox.clear(to=to)
    varsel_inbox.expect_none(to)


def test_a_sandbox_that_runs_is_found_by_its_directory(sandbox, tmp_path):
    found = Sandbox.connect(sandbox.data)
    assert found.url == sandbox.url
    assert found.token() != ""
    assert found.token() == found.token()
    found.stop()
    assert sandbox.inbox.messages() is not None
    with pytest.raises(SandboxError, match="No sandbox runs"):
        Sandbox.connect(tmp_path)


def test_a_command_that_fails_says_why(sandbox):
    with pytest.raises(SandboxError):
        sandbox.command("sandbox", "clock", "advance", "nonsense")
    with pytest.raises(SandboxError, match=r"gave no token \(400\): There is no service owner"):
        sandbox.token(org="NOBODY-KNOWS-THIS")
    with pytest.raises(SandboxError, match="no file"):
        sandbox.file_url("")


def test_a_sandbox_gives_administrators_of_any_organisation(sandbox):
    with SelfService(sandbox.administrator(organisation="991825827")) as service:
        made = service.create("digdir's", scopes=["altinn:serviceowner/notifications.create"])
        assert made.client_orgno == "991825827"


def test_magic_addresses(api):
    receipt = api.order(ORDERS["email"]("kari+bounce@example.org"))
    shipment = api.wait_until_final(receipt.shipment_id)
    assert shipment.recipients[0].status == "Email_Failed_Bounced"
    assert not shipment.is_delivered
