"""Orders of the first version of the API (`/orders`): several recipients, no idempotency id, no reminders. Still served; new code
takes `Order`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self, get_args

from . import _rules as rules
from ._errors import InvalidOrder
from ._orders import ContentType
from ._rules import wire_time

ChannelName = Literal["Email", "Sms", "EmailPreferred", "SmsPreferred", "EmailAndSms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassicRecipient:
    """An e-mail address and/or a number; or a person; or an organisation."""

    email: str | None = field(default=None, repr=False)
    mobile: str | None = field(default=None, repr=False)
    national_identity_number: str | None = field(default=None, repr=False)
    organization_number: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        addressed = self.email is not None or self.mobile is not None
        named = [addressed, self.national_identity_number is not None, self.organization_number is not None]
        if named.count(True) != 1:
            raise InvalidOrder(
                "recipient", "is an address, a person or an organisation, and only one of them"
            )
        if self.email is not None:
            rules.email(self.email, "email")
        if self.mobile is not None:
            rules.phone(self.mobile, "mobile")
        if self.national_identity_number is not None:
            rules.digits(self.national_identity_number, 11, "national_identity_number")
        if self.organization_number is not None:
            rules.digits(self.organization_number, 9, "organization_number")

    def wire(self) -> dict[str, str]:
        members = {
            "emailAddress": self.email,
            "mobileNumber": self.mobile,
            "nationalIdentityNumber": self.national_identity_number,
            "organizationNumber": self.organization_number,
        }
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Classic:
    recipients: Sequence[ClassicRecipient]
    senders_reference: str | None = None
    send_at: datetime | None = None
    condition: str | None = None
    ignore_reservation: bool | None = None
    resource: str | None = None
    resource_action: str | None = None

    def __post_init__(self) -> None:
        rules.kinds(self.recipients, ClassicRecipient, "recipients")
        if not self.recipients:
            raise InvalidOrder("recipients", "must not be empty")
        rules.moment(self.send_at, "send_at")
        rules.condition(self.condition, classic=True)
        rules.check_action(self.resource, self.resource_action)

    def _common(self, after: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Members in the order of the reference: `more` before the recipients, `after` behind them."""
        members = {
            "sendersReference": self.senders_reference,
            "requestedSendTime": None if self.send_at is None else wire_time(self.send_at),
            **more,
            "recipients": [one.wire() for one in self.recipients],
            **(after or {}),
            "ignoreReservation": self.ignore_reservation,
            "resourceId": self.resource,
            "resourceAction": self.resource_action,
            "conditionEndpoint": self.condition,
        }
        return {name: value for name, value in members.items() if value is not None}

    def _reachable(self, *ways: str) -> Self:
        """Every recipient has an address for the channel, or can be looked up."""
        for index, one in enumerate(self.recipients):
            looked_up = one.national_identity_number is not None or one.organization_number is not None
            if not looked_up and not any(getattr(one, way) is not None for way in ways):
                raise InvalidOrder(f"recipients[{index}]", f"has no {' or '.join(ways)}")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassicEmailOrder(_Classic):
    """One e-mail to each recipient."""

    subject: str = field(repr=False)
    body: str = field(repr=False)
    content_type: ContentType | None = None

    def __post_init__(self) -> None:
        _Classic.__post_init__(self)
        rules.text(self.subject, "subject")
        rules.text(self.body, "body")
        rules.member(self.content_type, ContentType, "content_type")
        self._reachable("email")

    def wire(self) -> dict[str, Any]:
        return self._common(subject=self.subject, body=self.body, contentType=self.content_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassicSmsOrder(_Classic):
    """One SMS to each recipient, in the daytime window."""

    body: str = field(repr=False)
    sender: str | None = None

    def __post_init__(self) -> None:
        _Classic.__post_init__(self)
        rules.text(self.body, "body")
        self._reachable("mobile")

    def wire(self) -> dict[str, Any]:
        return self._common(senderNumber=self.sender, body=self.body)


@dataclass(frozen=True, slots=True)
class EmailTemplate:
    """Content of an e-mail. `sender` is not checked by the API."""

    subject: str = field(repr=False)
    body: str = field(repr=False)
    content_type: ContentType | None = None
    sender: str | None = None

    def __post_init__(self) -> None:
        rules.text(self.subject, "subject")
        rules.text(self.body, "body")
        rules.member(self.content_type, ContentType, "content_type")

    def wire(self) -> dict[str, Any]:
        members = {
            "fromAddress": self.sender,
            "subject": self.subject,
            "body": self.body,
            "contentType": self.content_type,
        }
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True, slots=True)
class SmsTemplate:
    """Content of an SMS."""

    body: str = field(repr=False)
    sender: str | None = None

    def __post_init__(self) -> None:
        rules.text(self.body, "body")

    def wire(self) -> dict[str, Any]:
        return (
            {"body": self.body} if self.sender is None else {"senderNumber": self.sender, "body": self.body}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassicOrder(_Classic):
    """By a channel to choose. The channels that may need both contents need both templates."""

    channel: ChannelName
    email: EmailTemplate | None = None
    sms: SmsTemplate | None = None

    def __post_init__(self) -> None:
        _Classic.__post_init__(self)
        if self.channel not in get_args(ChannelName):
            raise InvalidOrder("channel", f"must be one of {', '.join(get_args(ChannelName))}")
        rules.kind(self.email, EmailTemplate | None, "email")
        rules.kind(self.sms, SmsTemplate | None, "sms")
        if self.channel != "Sms" and self.email is None:
            raise InvalidOrder("email", f"is needed for {self.channel}")
        if self.channel != "Email" and self.sms is None:
            raise InvalidOrder("sms", f"is needed for {self.channel}")
        if self.channel == "Email":
            self._reachable("email")
        elif self.channel == "Sms":
            self._reachable("mobile")

    def wire(self) -> dict[str, Any]:
        templates = {
            name: one.wire()
            for name, one in (("emailTemplate", self.email), ("smsTemplate", self.sms))
            if one is not None
        }
        return {"notificationChannel": self.channel, **self._common(after=templates)}
