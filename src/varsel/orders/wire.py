"""Requests and receipts of the order endpoints, exactly as they look outside.

The structures describe valid requests and feed both the fast decoder and the OpenAPI document. Requests that are legal but unusual
(docs/reference/notifications-api.md 1.4), and those that are wrong, are read by `varsel.orders.reading` into the same structures; a field may then hold
None, or a number outside its enumeration, and `varsel.orders.rules` refuses it with its key.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from varsel.orders.moments import Moment
from varsel.store.order_status import Identifier


class Channel(StrEnum):
    """Which channels a recipient is reached on; a preferred one falls back to the other when the recipient has no such address."""

    EMAIL = "Email"
    SMS = "Sms"
    EMAIL_PREFERRED = "EmailPreferred"
    SMS_PREFERRED = "SmsPreferred"
    EMAIL_AND_SMS = "EmailAndSms"


class ContentType(StrEnum):
    """How the body of an e-mail is written."""

    PLAIN = "Plain"
    HTML = "Html"


class SendingTimePolicy(StrEnum):
    """Whether a message may leave at any hour or only in the daytime window."""

    ANYTIME = "Anytime"
    DAYTIME = "Daytime"


#: Numbers that stand for enumeration members in requests (docs/reference/notifications-api.md 3.5).
NUMBERS: dict[type[StrEnum], dict[int, StrEnum]] = {
    Channel: dict(enumerate(Channel)),
    ContentType: dict(enumerate(ContentType)),
    SendingTimePolicy: {1: SendingTimePolicy.ANYTIME, 2: SendingTimePolicy.DAYTIME},
}

_NOT_BLANK: Final = {"pattern": r"\S"}
SendTime = Annotated[
    Moment,
    Meta(
        description="ISO 8601 with `T` and a zone, for example `2031-03-14T08:00:00Z`; not in the past.",
        extra_json_schema={"type": "string", "format": "date-time"},
        examples=["2031-03-14T08:00:00+01:00"],
    ),
]
Url = Annotated[
    str,
    Meta(
        description='Asked with GET before sending; answers `{"sendNotification": true|false}`. Absolute, http or https.',
        extra_json_schema={"format": "uri"},
        examples=["https://sender.example.org/conditions/17"],
    ),
]
Reference = Annotated[
    str,
    Meta(
        description="The caller's own reference; any text, need not be unique.", examples=["case-2031-0042"]
    ),
]
IdempotencyId = Annotated[
    str,
    Meta(
        min_length=1,
        description="Not blank. A repeat with the same id gets the first receipt and makes no new order.",
        extra_json_schema=_NOT_BLANK,
        examples=["case-2031-0042/varsel-1"],
    ),
]
EmailAddress = Annotated[
    str, Meta(min_length=1, description="One e-mail address.", examples=["kari@example.org"])
]
PhoneNumber = Annotated[
    str,
    Meta(
        min_length=1,
        description="With country prefix, `+` or `00`; valid for its region.",
        examples=["+4799999999"],
    ),
]
NationalIdentityNumber = Annotated[
    str,
    Meta(
        description="National identity number, 11 digits.",
        extra_json_schema={"pattern": "^[0-9]{11}$"},
        examples=["12839010182"],
    ),
]
OrganizationNumber = Annotated[
    str,
    Meta(
        description="Organization number, 9 digits.",
        extra_json_schema={"pattern": "^[0-9]{9}$"},
        examples=["312345609"],
    ),
]
ResourceId = Annotated[
    str,
    Meta(
        description="Resource whose access decides which users of an organization are reached.",
        extra_json_schema={"pattern": "^urn:altinn:resource:."},
        examples=["urn:altinn:resource:example-resource"],
    ),
]
ResourceAction = Annotated[
    str,
    Meta(description="Action on the resource; needs `resourceId`. Absent means `read`.", examples=["read"]),
]
Subject = Annotated[
    str,
    Meta(
        min_length=1,
        extra_json_schema=_NOT_BLANK,
        description="Not blank; each line break becomes one space. `$recipientName$` and `$recipientNumber$` are replaced when sent.",
        examples=["Ny melding"],
    ),
]
Body = Annotated[
    str,
    Meta(
        min_length=1,
        extra_json_schema=_NOT_BLANK,
        description="Text of the message, not blank. `$recipientName$` and `$recipientNumber$` are replaced when sent.",
        examples=["Hei $recipientName$, du har en ny melding."],
    ),
]


class Wire(
    msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    """Base of request structures. The fast decoder leaves unknown members to the tolerant reader, which ignores them.

    KEYS: members whose key in validation errors is not their wire name with an upper-case first letter
    (docs/reference/notifications-api.md 1.7.1).
    """

    KEYS: ClassVar[dict[str, str]] = {}


class V1(Wire):
    """Base of the first generation's requests: a missing member is blank, and is refused as a field, not as a parse error."""


# v2 orders (2.10)


class EmailSettings(Wire):
    """Content of an e-mail."""

    subject: Subject
    body: Body
    sender_email_address: Annotated[
        str | None,
        Meta(
            description="Sender address; absent means the configured default.",
            examples=["noreply@example.org"],
        ),
    ] = None
    content_type: ContentType = ContentType.PLAIN
    sending_time_policy: Annotated[
        SendingTimePolicy, Meta(description="E-mail leaves at any time: only `Anytime` is allowed.")
    ] = SendingTimePolicy.ANYTIME


class SmsSettings(Wire):
    """Content of an SMS."""

    body: Body
    sender: Annotated[
        str | None,
        Meta(description="Sender name or number; blank means the configured default.", examples=["Varsel"]),
    ] = None
    sending_time_policy: SendingTimePolicy = SendingTimePolicy.DAYTIME


class RecipientEmail(Wire):
    """One e-mail address."""

    KEYS: ClassVar = {"email_settings": "Settings"}

    email_address: EmailAddress
    email_settings: EmailSettings


class RecipientSms(Wire):
    """One mobile number."""

    KEYS: ClassVar = {"sms_settings": "Settings"}

    phone_number: PhoneNumber
    sms_settings: SmsSettings


class RecipientPerson(Wire):
    """A person, reached at the addresses of the contact register."""

    national_identity_number: NationalIdentityNumber
    channel_schema: Channel
    email_settings: EmailSettings | None = None
    sms_settings: SmsSettings | None = None
    resource_id: ResourceId | None = None
    resource_action: ResourceAction | None = None
    ignore_reservation: Annotated[
        bool, Meta(description="Send even when the person is reserved against digital contact.")
    ] = False
    use_stale_contact_information: Annotated[
        bool, Meta(description="Also use contact details not confirmed for 18 months.")
    ] = False


class RecipientOrganization(Wire):
    """An organization, reached at its official addresses and at those of its authorized users."""

    org_number: OrganizationNumber
    channel_schema: Channel
    email_settings: EmailSettings | None = None
    sms_settings: SmsSettings | None = None
    resource_id: ResourceId | None = None
    resource_action: ResourceAction | None = None


class RecipientExternalIdentity(Wire):
    """A person without a national identity number, named by a URN."""

    external_identity: Annotated[
        str,
        Meta(
            description="`urn:altinn:person:idporten-email:`, `urn:altinn:person:legacy-selfidentified:`, `urn:altinn:username:` or "
            "`urn:altinn:party:username:` and a value.",
            examples=["urn:altinn:person:idporten-email:kari@example.org"],
        ),
    ]
    channel_schema: Channel
    email_settings: EmailSettings | None = None
    sms_settings: SmsSettings | None = None
    resource_id: ResourceId | None = None
    resource_action: ResourceAction | None = None


class RecipientContainer(Wire):
    """Exactly one recipient kind."""

    recipient_email: RecipientEmail | None = None
    recipient_sms: RecipientSms | None = None
    recipient_person: RecipientPerson | None = None
    recipient_organization: RecipientOrganization | None = None
    recipient_external_identity: RecipientExternalIdentity | None = None


class DialogportenAssociation(Wire):
    """The dialog that the order belongs to; shown in the notification log."""

    dialog_id: Annotated[
        str | None, Meta(description="UUID of the dialog.", examples=["0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c10"])
    ] = None
    transmission_id: Annotated[
        str | None,
        Meta(
            description="UUID of one transmission of the dialog.",
            examples=["0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c11"],
        ),
    ] = None


_FALLBACK = "Varsel's addition: when every message of the chosen channel has failed, try the recipient's other channel."
FallbackOnFailure = Annotated[bool, Meta(description=_FALLBACK)]


class Reminder(Wire):
    """A further message of the chain. Exactly one of `delayDays`, `requestedSendTime` and `delayMinutes` is given."""

    recipient: RecipientContainer
    delay_days: Annotated[
        Annotated[int, Meta(ge=1, le=2147483647)] | None,
        Meta(description="Whole days of 24 hours after the main order's send time.", examples=[7]),
    ] = None
    delay_minutes: Annotated[
        Annotated[int, Meta(ge=1, le=525600)] | None,
        Meta(description="Varsel's addition: minutes after the main order's send time.", examples=[90]),
    ] = None
    requested_send_time: SendTime | None = None
    senders_reference: Reference | None = None
    condition_endpoint: Url | None = None
    fallback_on_failure: FallbackOnFailure = False


class ChainOrder(Wire):
    """One notification to one recipient, with any number of reminders, created together."""

    idempotency_id: IdempotencyId
    recipient: RecipientContainer
    senders_reference: Reference | None = None
    requested_send_time: SendTime | UnsetType = UNSET
    condition_endpoint: Url | None = None
    dialogporten_association: DialogportenAssociation | None = None
    reminders: Annotated[
        list[Reminder] | None,
        Meta(
            description="Further messages, sent unless cancelled; any number.",
            examples=[
                [
                    {
                        "delayDays": 7,
                        "recipient": {
                            "recipientSms": {
                                "phoneNumber": "+4799999999",
                                "smsSettings": {"body": "Husk å lese meldingen din."},
                            }
                        },
                    }
                ]
            ],
        ),
    ] = None
    fallback_on_failure: FallbackOnFailure = False


# Receipts


class ReminderReceipt(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """A reminder that was accepted."""

    shipment_id: Identifier
    senders_reference: Reference | None = None


class NotificationReceipt(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """The main order that was accepted."""

    shipment_id: Identifier
    senders_reference: Reference | None = None
    reminders: Annotated[
        list[ReminderReceipt] | None,
        Meta(description="In the order of the request; absent when there are none."),
    ] = None


class ChainReceipt(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """What was accepted, with the ids to follow it by."""

    notification_order_id: Identifier
    notification: NotificationReceipt
