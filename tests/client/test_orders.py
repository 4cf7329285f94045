"""Orders on the wire equal the examples of docs/reference/notifications-api.md, and wrong ones cannot be written."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest

from varsel.client import (
    Attachment,
    ClassicEmailOrder,
    ClassicOrder,
    ClassicRecipient,
    ClassicSmsOrder,
    ComposedEmail,
    ContentType,
    Dialog,
    Email,
    EmailAndSms,
    EmailOnly,
    EmailPreferred,
    EmailTemplate,
    InstantEmail,
    InstantSms,
    InvalidOrder,
    Order,
    Reminder,
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
)
from varsel.client._rules import wire_time

REFERENCE = Path(__file__).parents[2] / "docs/reference/notifications-api.md"
EIGHT = datetime(2031, 3, 14, 8, tzinfo=UTC)
SAS = "https://examplestore.blob.core.windows.net/out/avtale.pdf?sv=2024-11-04&se=2031-03-15T08%3A00%3A00Z&sr=b&sp=r&sig=c3ludGhldGlj"
EMAIL = Email("Ny melding", "Logg inn.")
SMS = Sms("Ny melding.")


def example(section: str) -> dict:
    """The first JSON block of a section of the reference: its request."""
    text = REFERENCE.read_text("utf-8")
    start = text.index(f"\n## {section} ")
    return json.loads(re.search(r"```json\n(.*?)```", text[start:], re.DOTALL)[1])


def person_order() -> Order:
    condition = "https://sender.example.org/conditions/case-2031-0042"
    return Order(
        "case-2031-0042/varsel-1",
        ToPerson(
            "12839010182",
            EmailPreferred(
                Email(
                    "Ny melding",
                    "Hei $recipientName$, logg inn for å lese.",
                    ContentType.PLAIN,
                    sender="noreply@example.org",
                    sending_time=SendingTime.ANYTIME,
                ),
                Sms("Du har en ny melding.", sender="Varsel", sending_time=SendingTime.DAYTIME),
            ),
            resource="urn:altinn:resource:example-resource",
            resource_action="read",
            ignore_reservation=False,
            use_stale_contact=False,
        ),
        senders_reference="case-2031-0042",
        send_at=EIGHT,
        condition=condition,
        dialog=Dialog("0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c10", "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c11"),
        reminders=[
            Reminder(
                to=ToPhone("+4799999999", Sms("Husk å lese meldingen din.")),
                delay_days=7,
                senders_reference="case-2031-0042-r1",
                condition=condition,
            )
        ],
    )


EXAMPLES = {
    "2.1": ClassicEmailOrder(
        recipients=[
            ClassicRecipient(email="kari@example.org"),
            ClassicRecipient(national_identity_number="12839010182"),
            ClassicRecipient(organization_number="312345609"),
        ],
        subject="Ny melding fra $recipientName$",
        body="<p>Du har en ny melding.</p>",
        content_type=ContentType.HTML,
        senders_reference="invoice-run-17",
        send_at=datetime(2031, 3, 14, 8, tzinfo=timezone(timedelta(hours=1))),
        ignore_reservation=False,
        resource="urn:altinn:resource:example-resource",
        resource_action="read",
        condition="https://sender.example.org/conditions/17",
    ),
    "2.2": ClassicSmsOrder(
        recipients=[
            ClassicRecipient(mobile="+4799999999"),
            ClassicRecipient(national_identity_number="12839010182"),
        ],
        body="Hei $recipientName$, du har en ny melding.",
        sender="Varsel",
        senders_reference="sms-run-4",
    ),
    "2.3": ClassicOrder(
        recipients=[ClassicRecipient(organization_number="312345609")],
        channel="EmailPreferred",
        senders_reference="case-88",
        email=EmailTemplate(
            "Melding til $recipientNumber$", "Se innboksen.", ContentType.PLAIN, "noreply@example.org"
        ),
        sms=SmsTemplate("Se innboksen.", "Varsel"),
    ),
    "2.10": person_order(),
    "2.11": ComposedEmail(
        "contract-77",
        "kari@example.org",
        Email("Signert avtale", "Avtalen ligger vedlagt."),
        [Attachment("avtale.pdf", "application/pdf", SAS)],
        senders_reference="contract-77",
        send_at=EIGHT,
    ),
    "2.12": InstantSms(
        "otp-5f1c", "+4799999999", Sms("Engangskode: 482913", "Varsel"), 360, senders_reference="login-5f1c"
    ),
    "2.13": InstantEmail(
        "receipt-901",
        "kari@example.org",
        Email("Kvittering", "<b>Takk</b>", ContentType.HTML, "noreply@example.org"),
        senders_reference="receipt-901",
    ),
}


@pytest.mark.parametrize("section", list(EXAMPLES))
def test_the_wire_form_equals_the_example(section):
    # In the order of members too: whoever compares what was sent with the reference finds it again.
    assert json.dumps(EXAMPLES[section].wire()) == json.dumps(example(section))


@pytest.mark.parametrize(
    ("by", "schema", "members"),
    [
        (EmailOnly(EMAIL), "Email", {"emailSettings"}),
        (SmsOnly(SMS), "Sms", {"smsSettings"}),
        (EmailPreferred(EMAIL, SMS), "EmailPreferred", {"emailSettings", "smsSettings"}),
        (SmsPreferred(EMAIL, SMS), "SmsPreferred", {"emailSettings", "smsSettings"}),
        (EmailAndSms(EMAIL, SMS), "EmailAndSms", {"emailSettings", "smsSettings"}),
    ],
)
def test_a_channel_brings_what_it_needs(by, schema, members):
    for to, name in (
        (ToPerson("12839010182", by), "recipientPerson"),
        (ToOrganization("312345609", by), "recipientOrganization"),
        (ToIdentity("urn:altinn:username:kari", by), "recipientExternalIdentity"),
    ):
        wire = to.wire()[name]
        assert wire["channelSchema"] == schema
        assert {one for one in wire if one.endswith("Settings")} == members


def test_the_smallest_orders():
    assert Order("a", ToEmail("a@example.org", EMAIL)).wire() == {
        "idempotencyId": "a",
        "recipient": {
            "recipientEmail": {
                "emailAddress": "a@example.org",
                "emailSettings": {"subject": "Ny melding", "body": "Logg inn."},
            }
        },
    }
    assert ComposedEmail("a", "a@example.org", EMAIL).wire()["recipient"]["emailSettings"].keys() == {
        "subject",
        "body",
    }
    assert ClassicOrder(
        channel="Email", recipients=[ClassicRecipient(email="a@example.org")], email=EmailTemplate("a", "b")
    ).wire() == {
        "notificationChannel": "Email",
        "recipients": [{"emailAddress": "a@example.org"}],
        "emailTemplate": {"subject": "a", "body": "b"},
    }
    both = ClassicRecipient(email="a@example.org", mobile="+4799999999")
    sms = ClassicOrder(channel="Sms", recipients=[both], sms=SmsTemplate("b"))
    assert sms.wire()["smsTemplate"] == {"body": "b"}


def test_additions_of_varsel_are_written_only_when_asked_for():
    to = ToPhone("+4799999999", SMS)
    order = Order("a", to, reminders=[Reminder(to=to, delay_minutes=90)], fallback_on_failure=True)
    assert order.wire()["fallbackOnFailure"] is True
    assert order.wire()["reminders"][0]["delayMinutes"] == 90
    assert "delayMinutes" not in json.dumps(person_order().wire())


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (EIGHT, "2031-03-14T08:00:00Z"),
        (EIGHT.replace(microsecond=500_000), "2031-03-14T08:00:00.5Z"),
        (
            EIGHT.replace(microsecond=123, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
            "2031-03-14T08:00:00.000123-03:30",
        ),
        (EIGHT.astimezone(timezone(timedelta(hours=2))), "2031-03-14T10:00:00+02:00"),
    ],
)
def test_times_carry_their_zone(moment, written):
    assert wire_time(moment) == written
    assert Reminder(to=ToPhone("+4799999999", SMS), at=moment).wire()["requestedSendTime"] == written


TO = ToPhone("+4799999999", SMS)
WRONG = {
    "blank id": lambda: Order(" ", TO),
    "id of another type": lambda: Order(17, TO),
    "NUL": lambda: Sms("a\0b"),
    "surrogate": lambda: Sms("a\ud800b"),
    "blank subject": lambda: Email("", "b"),
    "blank body": lambda: Email("a", "\n"),
    "blank sms": lambda: Sms(""),
    "empty sender": lambda: Email("a", "b", sender=""),
    "daytime e-mail": lambda: Email("a", "b", sending_time=SendingTime.DAYTIME),
    "no zone": lambda: Order("a", TO, send_at=datetime(2031, 3, 14, 8)),  # noqa: DTZ001
    "relative condition": lambda: Order("a", TO, condition="/conditions/17"),
    "condition by mail": lambda: Order("a", TO, condition="mailto:a@example.org"),
    "broken condition": lambda: Order("a", TO, condition="http://[::1"),
    "address without domain": lambda: ToEmail("user@example", EMAIL),
    "two addresses": lambda: ToEmail("a@b.no;c@d.no", EMAIL),
    "double dot": lambda: ToEmail("a..b@example.org", EMAIL),
    "number without country": lambda: ToPhone("40000001", SMS),
    "number with a space before": lambda: ToPhone(" +4799999999", SMS),
    "two pluses": lambda: ToPhone("++4740000000", SMS),
    "short identity": lambda: ToPerson("1283901018", SmsOnly(SMS)),
    "identity as a number": lambda: ToPerson(12839010182, SmsOnly(SMS)),
    "identity in other digits": lambda: ToPerson("١٢٨٣٩٠١٠١٨٢", SmsOnly(SMS)),
    "long organisation": lambda: ToOrganization("3123456090", SmsOnly(SMS)),
    "resource without prefix": lambda: ToOrganization("312345609", SmsOnly(SMS), resource="example"),
    "resource without name": lambda: ToOrganization("312345609", SmsOnly(SMS), resource="urn:altinn:resource:"),
    "action without resource": lambda: ToPerson("12839010182", SmsOnly(SMS), resource_action="read"),
    "blank action": lambda: ToPerson("12839010182", SmsOnly(SMS), resource="urn:altinn:resource:x", resource_action=" "),
    "unknown identity": lambda: ToIdentity("urn:altinn:person:12839010182", SmsOnly(SMS)),
    "identity with a bad address": lambda: ToIdentity("urn:altinn:person:idporten-email:kari", SmsOnly(SMS)),
    "identity without a name": lambda: ToIdentity("urn:altinn:username:%20", SmsOnly(SMS)),
    "reminder without time": lambda: Reminder(to=TO),
    "reminder with two times": lambda: Reminder(to=TO, delay_days=1, at=EIGHT),
    "reminder at once": lambda: Reminder(to=TO, delay_days=0),
    "reminder too soon": lambda: Reminder(to=TO, delay_minutes=0),
    "reminder too late": lambda: Reminder(to=TO, delay_minutes=525_601),
    "reminder without zone": lambda: Reminder(to=TO, at=datetime(2031, 3, 14, 8)),  # noqa: DTZ001
    "life too short": lambda: InstantSms("a", "+4799999999", SMS, 59),
    "life too long": lambda: InstantSms("a", "+4799999999", SMS, 172_801),
    "instant at daytime": lambda: InstantSms("a", "+4799999999", Sms("b", sending_time=SendingTime.DAYTIME)),
    "instant e-mail at a time": lambda: InstantEmail("a", "a@example.org", Email("a", "b", sending_time=SendingTime.ANYTIME)),
    "attachment without extension": lambda: Attachment("report", "application/pdf", SAS),
    "attachment with a dot alone": lambda: Attachment("report.", "application/pdf", SAS),
    "attachment in a folder": lambda: Attachment("a/b.pdf", "application/pdf", SAS),
    "attachment in a Windows folder": lambda: Attachment("a.b\\c", "application/pdf", SAS),
    "attachment of a strange type": lambda: Attachment("a.exe", "application/x-msdownload", SAS),
    "link over http": lambda: Attachment("a.pdf", "application/pdf", SAS.replace("https", "http")),
    "relative link": lambda: Attachment("a.pdf", "application/pdf", "files/a.pdf"),
    "broken link": lambda: Attachment("a.pdf", "application/pdf", "https://[x"),
    "link without signature": lambda: Attachment("a.pdf", "application/pdf", SAS.replace("sig=", "gis=")),
    "link to a container": lambda: Attachment("a.pdf", "application/pdf", SAS.replace("sr=b", "sr=c")),
    "link to write": lambda: Attachment("a.pdf", "application/pdf", SAS.replace("sp=r", "sp=w")),
    "link without end": lambda: Attachment("a.pdf", "application/pdf", SAS.replace("2031-03-15T08%3A00%3A00Z", "soon")),
    "link whose end has no zone": lambda: Attachment("a.pdf", "application/pdf", SAS.replace("00Z", "00")),
    "link that ends too soon": lambda: ComposedEmail("a", "a@example.org", EMAIL, [Attachment("a.pdf", "application/pdf", SAS)], send_at=EIGHT + timedelta(days=1)),
    "nobody": ClassicRecipient,
    "somebody twice": lambda: ClassicRecipient(email="a@example.org", national_identity_number="12839010182"),
    "no recipients": lambda: ClassicSmsOrder(recipients=[], body="a"),
    "sms to a mail address": lambda: ClassicSmsOrder(recipients=[ClassicRecipient(email="a@example.org")], body="a"),
    "mail to a number": lambda: ClassicEmailOrder(recipients=[ClassicRecipient(mobile="+4799999999")], subject="a", body="b"),
    "channel mail to a number": lambda: ClassicOrder(channel="Email", recipients=[ClassicRecipient(mobile="+4799999999")], email=EmailTemplate("a", "b")),
    "channel sms to a mail address": lambda: ClassicOrder(channel="Sms", recipients=[ClassicRecipient(email="a@example.org")], sms=SmsTemplate("b")),
    "channel without mail": lambda: ClassicOrder(channel="EmailAndSms", recipients=[ClassicRecipient(email="a@example.org")], sms=SmsTemplate("b")),
    "channel without sms": lambda: ClassicOrder(channel="SmsPreferred", recipients=[ClassicRecipient(email="a@example.org")], email=EmailTemplate("a", "b")),
    "classic condition on this machine": lambda: ClassicSmsOrder(recipients=[ClassicRecipient(mobile="+4799999999")], body="a", condition="http://localhost/x"),
    "classic action alone": lambda: ClassicSmsOrder(recipients=[ClassicRecipient(mobile="+4799999999")], body="a", resource_action="read"),
    "no recipient": lambda: Order("a", "kari@example.org"),
    "another order as recipient": lambda: Order("a", InstantSms("a", "+4799999999", SMS)),
    "an SMS by e-mail": lambda: ToEmail("a@example.org", SMS),
    "an e-mail by SMS": lambda: ToPhone("+4799999999", EMAIL),
    "text without a channel": lambda: ToPerson("12839010182", SMS),
    "channel name for a channel": lambda: ToOrganization("312345609", "Sms"),
    "an identity without a channel": lambda: ToIdentity("urn:altinn:username:kari", None),
    "e-mail alone, but an SMS": lambda: EmailOnly(SMS),
    "SMS alone, but an e-mail": lambda: SmsOnly(EMAIL),
    "both the wrong way round": lambda: EmailPreferred(SMS, EMAIL),
    "both, one twice": lambda: EmailAndSms(EMAIL, EMAIL),
    "one reminder without its list": lambda: Order("a", TO, reminders=Reminder(to=TO, delay_days=1)),
    "reminder of another kind": lambda: Order("a", TO, reminders=[7]),
    "reminder to an address alone": lambda: Reminder(to="kari@example.org", delay_days=1),
    "days as a text": lambda: Reminder(to=TO, delay_days="7"),
    "days as a truth": lambda: Reminder(to=TO, delay_days=True),
    "dialog as a text": lambda: Order("a", TO, dialog="019c9e2e-8d4e-7cc2-b1a5-2f1f0f8d6c3a"),
    "time as a text": lambda: Order("a", TO, send_at="2031-03-14T08:00:00Z"),
    "content type that is none": lambda: Email("a", "b", "text/html"),
    "sending time that is none": lambda: Sms("a", sending_time="Night"),
    "daytime e-mail as a text": lambda: Email("a", "b", sending_time="Daytime"),
    "instant SMS with an e-mail": lambda: InstantSms("a", "+4799999999", EMAIL),
    "instant e-mail with an SMS": lambda: InstantEmail("a", "a@example.org", SMS),
    "composed SMS": lambda: ComposedEmail("a", "a@example.org", SMS),
    "attachment as an address": lambda: ComposedEmail("a", "a@example.org", EMAIL, [SAS]),
    "classic recipient as a text": lambda: ClassicSmsOrder(recipients=["+4799999999"], body="a"),
    "classic recipients as a text": lambda: ClassicSmsOrder(recipients="+4799999999", body="a"),
    "classic channel that is none": lambda: ClassicOrder(channel="Fax", recipients=[ClassicRecipient(mobile="+4799999999")], sms=SmsTemplate("b")),
    "classic template of another kind": lambda: ClassicOrder(channel="Sms", recipients=[ClassicRecipient(mobile="+4799999999")], sms=SMS),
    "classic content type that is none": lambda: ClassicEmailOrder(recipients=[ClassicRecipient(email="a@example.org")], subject="a", body="b", content_type="html"),
    "template content type that is none": lambda: EmailTemplate("a", "b", "html"),
    "blank template": lambda: EmailTemplate("a", ""),
    "blank sms template": lambda: SmsTemplate(" "),
}  # fmt: skip


@pytest.mark.parametrize("what", list(WRONG))
def test_a_wrong_order_cannot_be_written(what):
    with pytest.raises(InvalidOrder) as caught:
        WRONG[what]()
    assert caught.value.field
    assert isinstance(caught.value, ValueError)
    for secret in ("12839010182", "99999999", "example.org", "sig="):
        assert secret not in str(caught.value)


def test_what_is_wrong_is_said_in_the_names_of_the_classes():
    with pytest.raises(InvalidOrder, match=r"^to must be ToEmail or ToPhone or .* or ToIdentity, not str$"):
        Order("a", "kari@example.org")
    with pytest.raises(InvalidOrder, match=r"^dialog must be Dialog or None, not str$"):
        Order("a", TO, dialog="x")
    with pytest.raises(InvalidOrder, match=r"^reminders must be a list of Reminder$"):
        Order("a", TO, reminders=TO)


def test_values_of_enumerations_may_be_texts():
    assert Email("a", "b", "Html").wire()["contentType"] == "Html"
    assert Sms("a", sending_time="Anytime").wire()["sendingTimePolicy"] == "Anytime"


def test_a_dialog_by_uuid():
    some = UUID("019c9e2e-8d4e-7cc2-b1a5-2f1f0f8d6c3a")
    assert Dialog(some).wire() == Dialog(str(some)).wire() == {"dialogId": str(some)}


@pytest.mark.parametrize(
    "address",
    [
        "æge_sjøåsen@example.com",
        "a+b@sub.example.museum",
        " kari@example.org ",
        "a;b@example.org",
        "a@10.0.0.1",
    ],
)
def test_addresses_that_the_api_takes(address):
    assert ToEmail(address, EMAIL).address == address


@pytest.mark.parametrize(
    "number", ["+4740000001", "004740000000", "+47 99 99 99 99", "+47 99999999 ", "+233242426224"]
)
def test_numbers_that_the_api_takes(number):
    assert ToPhone(number, SMS).number == number


def test_other_things_that_the_api_takes():
    assert Order("a", TO, condition="http://localhost:5090/x")
    assert Attachment(".pdf", "Application/PDF", SAS.replace("sr=b", "sr=B").replace("sp=r", "sp=rw"))
    exactly = EIGHT + timedelta(days=1) - timedelta(minutes=15)
    assert ComposedEmail("a", "a@example.org", EMAIL, [Attachment("a.pdf", "text/csv", SAS)], send_at=exactly)
    assert ToIdentity("urn:altinn:person:idporten-email:kari%40example.org", SmsOnly(SMS))


def test_personal_data_stay_out_of_repr():
    shown = repr(list(EXAMPLES.values())) + repr(ToIdentity("urn:altinn:username:kari", SmsOnly(SMS)))
    for secret in ("12839010182", "99999999", "kari", "Engangskode", "Avtalen", "sig="):
        assert secret not in shown


def test_client_and_server_know_the_same_mime_types():
    """The client imports nothing of the server, so the list stands twice."""
    from varsel.client._rules import MIME_TYPES
    from varsel.orders.mime_types import ACCEPTED

    assert MIME_TYPES == ACCEPTED
