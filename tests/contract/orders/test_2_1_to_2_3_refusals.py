"""Bad input of the v1 order endpoints: docs/reference/notifications-api.md 2.1, 2.2, 2.3."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.orders.bodies import ABSENT, put, v1_channel, v1_email, v1_sms
from tests.contract.orders.world import BASE, World

EMAIL, SMS, CHANNEL = f"{BASE}/orders/email", f"{BASE}/orders/sms", f"{BASE}/orders"
NAMES = {
    EMAIL: "emailNotificationOrderRequest",
    SMS: "smsNotificationOrderRequest",
    CHANNEL: "notificationOrderRequest",
}
GOOD = {EMAIL: v1_email(), SMS: v1_sms(), CHANNEL: v1_channel()}
OLD, OLD_ZONELESS = "2031-03-14T11:54:00Z", "2031-03-14T11:54:00"

COMMON: list[tuple[str, Any, set[str]]] = [
    ("no body", b"", {"", "NAME"}),
    ("null body", b"null", {"", "NAME"}),
    ("not JSON", b"{", {"$", "NAME"}),
    ("wrong type", ("body", 5), {"$.body", "NAME"}),
    ("recipients null", ("recipients", None), {"Recipients"}),
    ("recipients missing", ("recipients", ABSENT), {"Recipients"}),
    ("recipients empty", ("recipients", []), {"Recipients"}),
    ("recipients an object", ("recipients", {}), {"$.recipients", "NAME"}),
    ("recipient null", ("recipients", [None]), {"Recipients[0]"}),
    ("recipient with nothing", ("recipients", [{}]), {"Recipients[0]"}),
    ("recipient with empty strings", ("recipients", [{"emailAddress": "", "mobileNumber": "", "organizationNumber": ""}]), {"Recipients[0]"}),
    ("NIN of 10", ("recipients", [{"nationalIdentityNumber": "1283901018"}]), {"Recipients[0].NationalIdentityNumber"}),
    ("organisation of 10", ("recipients", [{"organizationNumber": "3123456090"}]), {"Recipients[0].OrganizationNumber"}),
    ("item 32: NIN and e-mail", ("recipients", [{"nationalIdentityNumber": "12839010182", "emailAddress": "kari@example.org"}]), {"Recipients[0]"}),
    ("NIN and mobile", ("recipients", [{"nationalIdentityNumber": "12839010182", "mobileNumber": "+4799999999"}]), {"Recipients[0]"}),
    ("NIN and organisation", ("recipients", [{"nationalIdentityNumber": "12839010182", "organizationNumber": "312345609"}]), {"Recipients[0]"}),
    ("organisation and e-mail", ("recipients", [{"organizationNumber": "312345609", "emailAddress": "kari@example.org"}]), {"Recipients[0]"}),
    ("second recipient", ("recipients", [{"organizationNumber": "312345609"}, {}]), {"Recipients[1]"}),
    ("item 20: time without zone", ("requestedSendTime", "2031-03-15T12:00:00"), {"RequestedSendTime"}),
    ("item 19: time 6 minutes ago", ("requestedSendTime", OLD), {"RequestedSendTime"}),
    ("item 10: time null", ("requestedSendTime", None), {"$.requestedSendTime", "NAME"}),
    ("condition relative", ("conditionEndpoint", "conditions/1"), {"ConditionEndpoint"}),
    ("condition ftp", ("conditionEndpoint", "ftp://sender.example.org/1"), {"ConditionEndpoint"}),
    ("condition localhost", ("conditionEndpoint", "http://localhost/1"), {"ConditionEndpoint"}),
    ("condition bare host", ("conditionEndpoint", "http://sender/1"), {"ConditionEndpoint"}),
    ("condition IP address", ("conditionEndpoint", "http://192.0.2.7/1"), {"ConditionEndpoint"}),
    ("condition empty", ("conditionEndpoint", ""), {"ConditionEndpoint"}),
    ("action alone", ("resourceAction", "read"), {"ResourceAction"}),
    ("item 35: action blank", ("resourceAction", " "), {"ResourceAction"}),
    ("NUL", ("sendersReference", "\x00"), {"SendersReference"}),
    ("half a surrogate pair", ("resourceId", "\udc00"), {"ResourceId"}),
    ("ignoreReservation a word", ("ignoreReservation", "yes"), {"$.ignoreReservation", "NAME"}),
]  # fmt: skip

OWN: list[tuple[str, str, Any, set[str]]] = [
    (EMAIL, "item 8: empty object", {}, {"Subject", "Body"}),
    (SMS, "empty object", {}, {"Body"}),
    (CHANNEL, "empty object", {}, {"NotificationChannel"}),
    *((EMAIL, f"{name} {value!r}", (name, value), {name.capitalize()}) for name in ("subject", "body") for value in (ABSENT, None, "", " ")),
    *((SMS, f"body {value!r}", ("body", value), {"Body"}) for value in (ABSENT, None, "", " ")),
    (EMAIL, "null and more", put(put(v1_email(), "recipients", None), "subject", ""), {"Subject", "Recipients"}),
    (EMAIL, "contentType unknown", ("contentType", "Markdown"), {"$.contentType", "NAME"}),
    (EMAIL, "contentType 7", ("contentType", 7), {"ContentType"}),
    (EMAIL, "e-mail malformed", ("recipients.0.emailAddress", "kari@example"), {"Recipients[0].EmailAddress"}),
    (EMAIL, "only a mobile number", ("recipients", [{"mobileNumber": "+4799999999"}]), {"Recipients[0]"}),
    (SMS, "only an e-mail address", ("recipients", [{"emailAddress": "kari@example.org"}]), {"Recipients[0]"}),
    (SMS, "mobile without prefix", ("recipients.0.mobileNumber", "99999999"), {"Recipients[0].MobileNumber"}),
    (SMS, "mobile not valid", ("recipients.0.mobileNumber", "+4750000004"), {"Recipients[0].MobileNumber"}),
    (CHANNEL, "channel missing", ("notificationChannel", ABSENT), {"NotificationChannel"}),
    (CHANNEL, "channel null", ("notificationChannel", None), {"NotificationChannel"}),
    (CHANNEL, "channel unknown", ("notificationChannel", "Fax"), {"$.notificationChannel", "NAME"}),
    (CHANNEL, "channel 5", ("notificationChannel", 5), {"NotificationChannel"}),
    *((CHANNEL, f"{channel} without e-mail template", put(v1_channel(channel), "emailTemplate", ABSENT), {"EmailTemplate"}) for channel in ("Email", "EmailPreferred", "SmsPreferred", "EmailAndSms")),
    *((CHANNEL, f"{channel} without SMS template", put(v1_channel(channel), "smsTemplate", None), {"SmsTemplate"}) for channel in ("Sms", "EmailPreferred", "SmsPreferred", "EmailAndSms")),
    *((CHANNEL, f"{channel} with a wrong address", put(v1_channel(channel), "recipients.0.emailAddress", "x"), {"Recipients[0].EmailAddress"}) for channel in ("Email", "EmailPreferred", "SmsPreferred", "EmailAndSms")),
    *((CHANNEL, f"{channel} with a wrong number", put(v1_channel(channel), "recipients.0.mobileNumber", "1"), {"Recipients[0].MobileNumber"}) for channel in ("Sms", "EmailPreferred", "SmsPreferred", "EmailAndSms")),
    (CHANNEL, "EmailAndSms without recipients", put(v1_channel("EmailAndSms"), "recipients", []), {"Recipients"}),
    *((CHANNEL, f"e-mail {name} {value!r}", (f"emailTemplate.{name}", value), {f"EmailTemplate.{name.capitalize()}"}) for name in ("subject", "body") for value in (ABSENT, None, "", " ")),
    *((CHANNEL, f"SMS body {value!r}", ("smsTemplate.body", value), {"SmsTemplate.Body"}) for value in (ABSENT, None, "", " ")),
    (CHANNEL, "unneeded template is checked", put(v1_channel("Sms"), "emailTemplate.subject", " "), {"EmailTemplate.Subject"}),
    (CHANNEL, "item 26: fromAddress null", ("emailTemplate.fromAddress", None), {"EmailTemplate.FromAddress"}),
    (CHANNEL, "senderNumber null", ("smsTemplate.senderNumber", None), {"SmsTemplate.SenderNumber"}),
    (CHANNEL, "item 11: contentType null", ("emailTemplate.contentType", None), {"$.emailTemplate.contentType", "NAME"}),
    (CHANNEL, "template contentType 7", ("emailTemplate.contentType", 7), {"EmailTemplate.ContentType"}),
]  # fmt: skip

CASES = [
    (path, name, change, keys)
    for path in GOOD
    for name, change, keys in COMMON
    if not (path == CHANNEL and name == "wrong type")
] + OWN


@pytest.mark.parametrize(
    ("path", "change", "keys"),
    [(case[0], *case[2:]) for case in CASES],
    ids=[f"{case[0].rpartition('/')[2]}: {case[1]}" for case in CASES],
)
async def test_a_wrong_order_is_refused_with_its_keys(
    refusing: World, path: str, change: Any, keys: set[str]
) -> None:
    body = put(GOOD[path], *change) if isinstance(change, tuple) else change
    answer = await refusing.send(path, body)
    assert answer.status == 400, answer.content
    assert answer.keys == {NAMES[path] if key == "NAME" else key for key in keys}


@pytest.mark.parametrize("path", GOOD)
async def test_an_old_time_without_zone_has_two_messages(refusing: World, path: str) -> None:
    answer = await refusing.send(path, put(GOOD[path], "requestedSendTime", OLD_ZONELESS))
    assert len(answer.json["errors"]["RequestedSendTime"]) == 2


@pytest.mark.parametrize("path", GOOD)
async def test_item_17_no_organisation(refusing: World, path: str) -> None:
    assert (await refusing.send(path, GOOD[path], creator="-")).status == 403
    assert (await refusing.send(path, {}, creator="-")).status == 400
