"""`varsel order`: orders from the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import uuid4

from cyclopts import Parameter

from varsel.cli.calling import (
    Json,
    Where,
    WrongInput,
    caller,
    plain,
    print_json,
    table,
    text_of,
    told,
)
from varsel.cli.rehearsal import show_dry_run
from varsel.cli.terminal import complain, say, waiting

if TYPE_CHECKING:
    from varsel.client import (
        ComposedEmail,
        Email,
        InstantEmail,
        InstantSms,
        Notifications,
        Order,
        Receipt,
        Sms,
    )
    from varsel.client._orders import Channel, Recipient

COMPOSED: Final = "altinn:serviceowner/notifications.composedemail.create"

Subject = Annotated[str | None, Parameter(help="Subject of the e-mail.")]
Body = Annotated[
    str | None,
    Parameter(help="Text of the e-mail: itself, @FILE, or - for standard input.", allow_leading_hyphen=True),
]
SmsText = Annotated[
    str | None,
    Parameter(name="--sms", help="Text of the SMS: itself, @FILE, or -.", allow_leading_hyphen=True),
]
Html = Annotated[bool, Parameter(negative="", help="The body is HTML.")]
Sender = Annotated[
    str | None, Parameter(name="--from", help="Sender: an address, or a number or short name for SMS.")
]
Anytime = Annotated[bool, Parameter(negative="", help="Send the SMS at night too.")]
Instant = Annotated[bool, Parameter(negative="", help="Send while you wait.")]
ChannelName = Literal["email-preferred", "sms-preferred", "both"]
By = Annotated[ChannelName, Parameter(help="Which comes first where both texts are given.")]
Resource = Annotated[str | None, Parameter(help="What it is about: urn:altinn:resource:…")]


@Parameter(name="*", help="What every order may have.")
@dataclass(frozen=True)
class Terms:
    """Options of every order."""

    id: Annotated[
        str | None,
        Parameter(help="Idempotency id; the same one never makes a second order. Made up when left out."),
    ] = None
    reference: Annotated[str | None, Parameter(help="Your reference.")] = None
    at: Annotated[
        datetime | None,
        Parameter(help="Send time with its zone, such as 2031-03-14T08:00:00+01:00; now when left out."),
    ] = None
    condition: Annotated[str | None, Parameter(help="Address that is asked just before sending.")] = None
    remind: Annotated[
        list[int] | None,
        Parameter(
            help="Remind the same recipient so many days later; may be given several times.",
            negative="",
            consume_multiple=False,
        ),
    ] = None
    dry_run: Annotated[
        bool,
        Parameter(
            negative="", help="Show what would be sent, to whom and when, and order nothing (Varsel only)."
        ),
    ] = False
    wait: Annotated[bool, Parameter(negative="", help="Wait for the end and show it.")] = False
    timeout: Annotated[float, Parameter(help="Seconds that --wait takes at most.")] = 60.0


def email(
    address: Annotated[str, Parameter(help="E-mail address.")],
    /,
    *,
    subject: Annotated[str, Parameter(help="Subject.")],
    body: Annotated[
        str, Parameter(help="Text: itself, @FILE, or - for standard input.", allow_leading_hyphen=True)
    ],
    html: Html = False,
    sender: Sender = None,
    instant: Instant = False,
    terms: Terms | None = None,
    where: Where | None = None,
    json: Json = False,
) -> None:
    from varsel.client import InstantEmail, ToEmail

    terms = terms or Terms()
    with told():
        content = _email(subject, body, html=html, sender=sender)
        if instant:
            order = InstantEmail(_id(terms), address, content, senders_reference=terms.reference)
            _place(where, terms, json, order)
        else:
            _order(where, terms, json, ToEmail(address, content))


def sms(
    number: Annotated[str, Parameter(help="Mobile number with its country code.")],
    /,
    *,
    body: Annotated[
        str, Parameter(help="Text: itself, @FILE, or - for standard input.", allow_leading_hyphen=True)
    ],
    sender: Sender = None,
    anytime: Anytime = False,
    instant: Instant = False,
    terms: Terms | None = None,
    where: Where | None = None,
    json: Json = False,
) -> None:
    from varsel.client import InstantSms, Sms, ToPhone

    terms = terms or Terms()
    with told():
        if instant:
            order = InstantSms(
                _id(terms), number, Sms(text_of(body), sender), senders_reference=terms.reference
            )
            _place(where, terms, json, order)
        else:
            _order(where, terms, json, ToPhone(number, _sms(body, sender, anytime=anytime)))


def person(
    number: Annotated[str, Parameter(help="National identity number.")],
    /,
    *,
    subject: Subject = None,
    body: Body = None,
    sms: SmsText = None,
    by: By = "email-preferred",
    html: Html = False,
    anytime: Anytime = False,
    resource: Resource = None,
    ignore_reservation: Annotated[
        bool, Parameter(negative="", help="Send even to who is reserved against digital contact.")
    ] = False,
    terms: Terms | None = None,
    where: Where | None = None,
    json: Json = False,
) -> None:
    from varsel.client import ToPerson

    with told():
        channel = _channel(subject, body, sms, by, html=html, anytime=anytime)
        to = ToPerson(number, channel, resource=resource, ignore_reservation=ignore_reservation or None)
        _order(where, terms or Terms(), json, to)


def org(
    number: Annotated[str, Parameter(help="Organisation number.")],
    /,
    *,
    subject: Subject = None,
    body: Body = None,
    sms: SmsText = None,
    by: By = "email-preferred",
    html: Html = False,
    anytime: Anytime = False,
    resource: Resource = None,
    terms: Terms | None = None,
    where: Where | None = None,
    json: Json = False,
) -> None:
    from varsel.client import ToOrganization

    with told():
        channel = _channel(subject, body, sms, by, html=html, anytime=anytime)
        _order(where, terms or Terms(), json, ToOrganization(number, channel, resource=resource))


def identity(
    urn: Annotated[
        str,
        Parameter(help="A self-identified user, such as urn:altinn:person:idporten-email:kari@example.org."),
    ],
    /,
    *,
    subject: Subject = None,
    body: Body = None,
    sms: SmsText = None,
    by: By = "email-preferred",
    html: Html = False,
    anytime: Anytime = False,
    resource: Resource = None,
    terms: Terms | None = None,
    where: Where | None = None,
    json: Json = False,
) -> None:
    from varsel.client import ToIdentity

    with told():
        channel = _channel(subject, body, sms, by, html=html, anytime=anytime)
        _order(where, terms or Terms(), json, ToIdentity(urn, channel, resource=resource))


def composed(
    address: Annotated[str, Parameter(help="E-mail address.")],
    /,
    *,
    subject: Annotated[str, Parameter(help="Subject.")],
    body: Annotated[
        str, Parameter(help="Text: itself, @FILE, or - for standard input.", allow_leading_hyphen=True)
    ],
    attach: Annotated[
        list[str] | None,
        Parameter(
            help="An attachment: its signed blob address, or @FILE with the address in it, which keeps the signature out of the "
            "list of processes. NAME=… in front names the file; otherwise it is the one of the address. May be given several times.",
            negative="",
            consume_multiple=False,
        ),
    ] = None,
    html: Html = False,
    sender: Sender = None,
    terms: Terms | None = None,
    where: Where | None = None,
    json: Json = False,
) -> None:
    from varsel.cli.attachments import attachment
    from varsel.client import ComposedEmail

    terms = terms or Terms()
    if terms.remind:
        raise WrongInput("An e-mail with attachments has no reminders; order those by themselves.")
    with told():
        order = ComposedEmail(
            _id(terms),
            address,
            _email(subject, body, html=html, sender=sender),
            [attachment(one) for one in attach or ()],
            senders_reference=terms.reference,
            send_at=terms.at,
            condition=terms.condition,
        )
        _place(where, terms, json, order, COMPOSED)


def cancel(
    id: Annotated[str, Parameter(help="Shipment id; with --chain the order id.")],  # noqa: A002
    /,
    *,
    chain: Annotated[
        bool, Parameter(negative="", help="Cancel the order with all its reminders (Varsel only).")
    ] = False,
    where: Where | None = None,
    json: Json = False,
) -> None:
    with told():
        who = caller(where)
        try:
            api = who.notifications()
            if chain:
                api.cancel_chain(id)
                found: Any = {"notificationOrderId": id, "status": "Cancelled"}
            else:
                status = api.cancel(id)
                found = {"shipmentId": str(status.id), "status": status.processing_status.status}
        finally:
            who.close()
    if json:
        print_json(found)
    else:
        say("Cancelled; nothing of it is sent.")


def _id(terms: Terms) -> str:
    return terms.id or str(uuid4())


def _email(subject: str, body: str, *, html: bool, sender: str | None = None) -> Email:
    from varsel.client import ContentType, Email

    return Email(subject, text_of(body), ContentType.HTML if html else None, sender)


def _sms(body: str, sender: str | None = None, *, anytime: bool) -> Sms:
    from varsel.client import SendingTime, Sms

    return Sms(text_of(body), sender, SendingTime.ANYTIME if anytime else None)


def _channel(
    subject: str | None, body: str | None, sms: str | None, by: ChannelName, *, html: bool, anytime: bool
) -> Channel:
    from varsel.client import EmailAndSms, EmailOnly, EmailPreferred, SmsOnly, SmsPreferred

    if (subject is None) != (body is None):
        raise WrongInput("--subject and --body are given together.")
    mail = None if subject is None or body is None else _email(subject, body, html=html)
    text = None if sms is None else _sms(sms, anytime=anytime)
    if mail is not None and text is not None:
        if by == "both":
            return EmailAndSms(mail, text)
        return SmsPreferred(mail, text) if by == "sms-preferred" else EmailPreferred(mail, text)
    if mail is not None:
        return EmailOnly(mail)
    if text is not None:
        return SmsOnly(text)
    raise WrongInput("Give --subject and --body for an e-mail, --sms for an SMS, or all three.")


def _order(where: Where | None, terms: Terms, json: bool, to: Recipient) -> None:
    from varsel.client import Order, Reminder

    order = Order(
        _id(terms),
        to,
        senders_reference=terms.reference,
        send_at=terms.at,
        condition=terms.condition,
        reminders=[Reminder(to=to, delay_days=days) for days in terms.remind or ()],
    )
    _place(where, terms, json, order)


def _place(
    where: Where | None,
    terms: Terms,
    json: bool,
    order: Order | ComposedEmail | InstantEmail | InstantSms,
    scope: str | None = None,
) -> None:
    from varsel.client import NotFinal

    if terms.dry_run:
        show_dry_run(where, order, scope, json=json)
        return
    who = caller(where)
    shipment, late = None, None
    try:
        receipt = _send(who.notifications(scope), order)
        if not json:
            _tell(receipt)
        if terms.wait:
            with waiting(f"Waiting for the end of shipment {receipt.shipment_id}"):
                try:
                    # Another scope than the usual one is for ordering alone.
                    shipment = who.notifications().wait_until_final(
                        receipt.shipment_id, timeout=terms.timeout
                    )
                except NotFinal as error:
                    shipment, late = error.shipment, error
    finally:
        who.close()
    for warning in receipt.warnings:
        complain(f"The server warns: {warning}.")
    if receipt.body_differs:
        complain("That id belongs to another order, which stays as it was; nothing new was ordered.")
    if json:
        print_json({**as_json(receipt), **({} if shipment is None else {"shipment": plain(shipment)})})
    elif shipment is not None:
        show_shipment(shipment)
    if late is not None:
        raise late


def _send(api: Notifications, order: Order | ComposedEmail | InstantEmail | InstantSms) -> Receipt:
    from varsel.client import ComposedEmail, InstantEmail, InstantSms

    match order:
        case ComposedEmail():
            return api.order_composed_email(order)
        case InstantEmail():
            return api.send_email(order)
        case InstantSms():
            return api.send_sms(order)
        case _:
            return api.order(order)


def _tell(receipt: Receipt) -> None:
    say(f"{'Ordered' if receipt.created else 'Ordered before'}: shipment {receipt.shipment_id}")
    for number, reminder in enumerate(receipt.reminders, 1):
        say(f"  reminder {number}: shipment {reminder.shipment_id}")


def as_json(receipt: Receipt) -> dict[str, Any]:
    """The receipt with the names of the wire, and whether it is new."""
    reminders: Sequence[Any] = [plain(one) for one in receipt.reminders]
    return {
        "notificationOrderId": str(receipt.order_id),
        "shipmentId": str(receipt.shipment_id),
        "created": receipt.created,
        **({"reminders": reminders} if reminders else {}),
    }


def show_shipment(shipment: Any) -> None:
    """A shipment for people."""
    say(f"{shipment.type or 'Shipment'} {shipment.shipment_id}: {shipment.status}")
    table(
        ["channel", "to", "status", "last update"],
        [
            [
                one.type,
                one.destination or "(no address)",
                one.status,
                f"{one.last_update.astimezone():%Y-%m-%d %H:%M:%S}",
            ]
            for one in shipment.recipients
        ],
    )
