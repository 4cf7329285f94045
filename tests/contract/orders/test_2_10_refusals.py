"""Bad input of POST …/future/orders: docs/reference/notifications-api.md 2.10, and the items of section 5 that concern it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.orders.bodies import (
    ABSENT,
    chain,
    email,
    identity,
    organization,
    person,
    put,
    reminder,
    sms,
)
from tests.contract.orders.world import CHAIN, World

NAME = "notificationOrderRequest"
EMAIL, SMS, PERSON = chain(), chain(recipient=sms()), chain(recipient=person())
ORGANIZATION, IDENTITY = chain(recipient=organization()), chain(recipient=identity())
REMINDED = chain(reminders=[reminder()])
PAST = "2031-03-14T11:59:59Z"
LATER = "2031-03-15T12:00:00Z"
E, S = "recipient.recipientEmail", "recipient.recipientSms"
P, G, X = (
    "recipient.recipientPerson",
    "recipient.recipientOrganization",
    "recipient.recipientExternalIdentity",
)
EK, SK = "Recipient.RecipientEmail", "Recipient.RecipientSms"
PK, GK, XK = (
    "Recipient.RecipientPerson",
    "Recipient.RecipientOrganization",
    "Recipient.RecipientExternalIdentity",
)

ROWS: list[tuple[str, Any, set[str]]] = [
    ("no body", b"", {"", NAME}),
    ("null body", b"null", {"", NAME}),
    ("white space", b"  ", {"$", NAME}),
    ("a list", b"[]", {"$", NAME}),
    ("not JSON", b'{"idempotencyId": oops}', {"$.idempotencyId", NAME}),
    ("cut short", b'{"idempotencyId": "x"', {"$", NAME}),
    ("trailing comma", b'{"idempotencyId": "x",}', {"$", NAME}),
    ("comment", b'{"idempotencyId": "x" /* why */}', {"$", NAME}),
    ("more after the end", json.dumps(EMAIL).encode() + b" x", {"$", NAME}),
    ("depth 33", json.dumps(put(EMAIL, "odd", json.loads("[" * 32 + "]" * 32))).encode(), {"$.odd", NAME}),
    ("broken UTF-8", json.dumps(put(EMAIL, "sendersReference", "@")).encode().replace(b'"@"', b'"\xe2\x82"'), {"$.sendersReference", NAME}),
    ("idempotencyId missing", put(EMAIL, "idempotencyId", ABSENT), {"$", NAME}),
    ("recipient missing", put(EMAIL, "recipient", ABSENT), {"$", NAME}),
    ("idempotencyId null", put(EMAIL, "idempotencyId", None), {"IdempotencyId"}),
    ("idempotencyId empty", put(EMAIL, "idempotencyId", ""), {"IdempotencyId"}),
    ("idempotencyId blank", put(EMAIL, "idempotencyId", " \u00a0"), {"IdempotencyId"}),
    ("idempotencyId a number", put(EMAIL, "idempotencyId", 7), {"$.idempotencyId", NAME}),
    ("recipient null", put(EMAIL, "recipient", None), {"Recipient"}),
    ("no recipient kind", put(EMAIL, "recipient", {}), {"Recipient"}),
    ("two recipient kinds", put(EMAIL, "recipient", email() | sms()), {"Recipient"}),
    ("send time passed", put(EMAIL, "requestedSendTime", PAST), {"RequestedSendTime"}),
    ("send time without zone", put(EMAIL, "requestedSendTime", "2031-03-15T12:00:00"), {"RequestedSendTime"}),
    ("send time a date", put(EMAIL, "requestedSendTime", "2031-03-15"), {"RequestedSendTime"}),
    ("send time null", put(EMAIL, "requestedSendTime", None), {"$.requestedSendTime", NAME}),
    ("send time with a space", put(EMAIL, "requestedSendTime", "2031-03-15 12:00:00Z"), {"$.requestedSendTime", NAME}),
    ("send time with +0100", put(EMAIL, "requestedSendTime", "2031-03-15T12:00:00+0100"), {"$.requestedSendTime", NAME}),
    ("send time a number", put(EMAIL, "requestedSendTime", 1931252400), {"$.requestedSendTime", NAME}),
    ("condition relative", put(EMAIL, "conditionEndpoint", "conditions/17"), {"ConditionEndpoint"}),
    ("condition empty", put(EMAIL, "conditionEndpoint", ""), {"ConditionEndpoint"}),
    ("condition malformed", put(EMAIL, "conditionEndpoint", "https://"), {"ConditionEndpoint"}),
    ("condition ftp", put(EMAIL, "conditionEndpoint", "ftp://sender.example.org/17"), {"ConditionEndpoint"}),
    ("condition a number", put(EMAIL, "conditionEndpoint", 17), {"$.conditionEndpoint", NAME}),
    ("reminder without delay", put(REMINDED, "reminders.0.delayDays", ABSENT), {"Reminders[0]"}),
    ("reminder with null delays", put(put(REMINDED, "reminders.0.delayDays", None), "reminders.0.requestedSendTime", None), {"Reminders[0]"}),
    ("reminder with both", put(REMINDED, "reminders.0.requestedSendTime", LATER), {"Reminders[0]", "Reminders[0].RequestedSendTime", "Reminders[0].DelayDays"}),
    ("reminder with delayMinutes too", put(REMINDED, "reminders.0.delayMinutes", 5), {"Reminders[0]", "Reminders[0].DelayMinutes", "Reminders[0].DelayDays"}),
    ("delayDays 0", put(REMINDED, "reminders.0.delayDays", 0), {"Reminders[0].DelayDays"}),
    ("delayDays negative", put(REMINDED, "reminders.0.delayDays", -3), {"Reminders[0].DelayDays"}),
    ("delayDays overflows the calendar", put(REMINDED, "reminders.0.delayDays", 2147483647), {"Reminders[0].DelayDays"}),
    ("delayDays over 32 bits", put(REMINDED, "reminders.0.delayDays", 2147483648), {"$.reminders[0].delayDays", NAME}),
    ("delayDays 1.5", put(REMINDED, "reminders.0.delayDays", 1.5), {"$.reminders[0].delayDays", NAME}),
    ("delayDays a word", put(REMINDED, "reminders.0.delayDays", "x"), {"$.reminders[0].delayDays", NAME}),
    ("delayMinutes 0", put(put(REMINDED, "reminders.0.delayDays", None), "reminders.0.delayMinutes", 0), {"Reminders[0].DelayMinutes"}),
    ("delayMinutes over a year", put(put(REMINDED, "reminders.0.delayDays", None), "reminders.0.delayMinutes", 525601), {"Reminders[0].DelayMinutes"}),
    ("reminder time passed", put(put(REMINDED, "reminders.0.delayDays", None), "reminders.0.requestedSendTime", PAST), {"Reminders[0].RequestedSendTime"}),
    ("reminder time without zone", put(put(REMINDED, "reminders.0.delayDays", None), "reminders.0.requestedSendTime", "2031-03-20T12:00:00"), {"Reminders[0].RequestedSendTime"}),
    ("reminder condition", put(REMINDED, "reminders.0.conditionEndpoint", "x"), {"Reminders[0].ConditionEndpoint"}),
    ("reminder without recipient", put(REMINDED, "reminders.0.recipient", ABSENT), {"$.reminders[0]", NAME}),
    ("reminder with recipient null", put(REMINDED, "reminders.0.recipient", None), {"Reminders[0].Recipient"}),
    ("reminder with recipient {}", put(REMINDED, "reminders.0.recipient", {}), {"Reminders[0].Recipient"}),
    ("reminder null", put(REMINDED, "reminders", [None]), {"Reminders[0]"}),
    ("second reminder null", put(REMINDED, "reminders", [reminder(), None]), {"Reminders[1]"}),
    ("reminders an object", put(REMINDED, "reminders", {}), {"$.reminders", NAME}),
    ("fallbackOnFailure a word", put(EMAIL, "fallbackOnFailure", "true"), {"$.fallbackOnFailure", NAME}),
    ("e-mail address missing", put(EMAIL, f"{E}.emailAddress", ABSENT), {f"$.{E}", NAME}),
    ("e-mail address null", put(EMAIL, f"{E}.emailAddress", None), {f"{EK}.EmailAddress"}),
    ("e-mail address blank", put(EMAIL, f"{E}.emailAddress", " "), {f"{EK}.EmailAddress"}),
    ("e-mail address malformed", put(EMAIL, f"{E}.emailAddress", "kari@example"), {f"{EK}.EmailAddress"}),
    ("two e-mail addresses", put(EMAIL, f"{E}.emailAddress", "a@b.no;c@d.no"), {f"{EK}.EmailAddress"}),
    ("emailSettings missing", put(EMAIL, f"{E}.emailSettings", ABSENT), {f"$.{E}", NAME}),
    ("emailSettings null", put(EMAIL, f"{E}.emailSettings", None), {f"{EK}.Settings"}),
    ("subject missing", put(EMAIL, f"{E}.emailSettings.subject", ABSENT), {f"$.{E}.emailSettings", NAME}),
    ("subject blank", put(EMAIL, f"{E}.emailSettings.subject", " "), {f"{EK}.Settings.Subject"}),
    ("subject null", put(EMAIL, f"{E}.emailSettings.subject", None), {f"{EK}.Settings.Subject"}),
    ("body blank", put(EMAIL, f"{E}.emailSettings.body", "\n"), {f"{EK}.Settings.Body"}),
    ("sender malformed", put(EMAIL, f"{E}.emailSettings.senderEmailAddress", "nobody"), {f"{EK}.Settings.SenderEmailAddress"}),
    ("sender empty", put(EMAIL, f"{E}.emailSettings.senderEmailAddress", ""), {f"{EK}.Settings.SenderEmailAddress"}),
    ("e-mail by day", put(EMAIL, f"{E}.emailSettings.sendingTimePolicy", "Daytime"), {f"{EK}.Settings.SendingTimePolicy"}),
    ("e-mail policy 2", put(EMAIL, f"{E}.emailSettings.sendingTimePolicy", 2), {f"{EK}.Settings.SendingTimePolicy"}),
    ("e-mail policy 0", put(EMAIL, f"{E}.emailSettings.sendingTimePolicy", 0), {f"{EK}.Settings.SendingTimePolicy"}),
    ("contentType 7", put(EMAIL, f"{E}.emailSettings.contentType", 7), {f"{EK}.Settings.ContentType"}),
    ("contentType unknown", put(EMAIL, f"{E}.emailSettings.contentType", "Markdown"), {f"$.{E}.emailSettings.contentType", NAME}),
    ("contentType null", put(EMAIL, f"{E}.emailSettings.contentType", None), {f"$.{E}.emailSettings.contentType", NAME}),
    ("phone number missing", put(SMS, f"{S}.phoneNumber", ABSENT), {f"$.{S}", NAME}),
    ("phone number blank", put(SMS, f"{S}.phoneNumber", ""), {f"{SK}.PhoneNumber"}),
    *(
        (f"phone number {number!r}", put(SMS, f"{S}.phoneNumber", number), {f"{SK}.PhoneNumber"})
        for number in ("40000001", " +4799999999", "++4740000000", "+47900000001", "+4750000004", "+479999999")
    ),
    ("smsSettings missing", put(SMS, f"{S}.smsSettings", ABSENT), {f"$.{S}", NAME}),
    ("smsSettings null", put(SMS, f"{S}.smsSettings", None), {f"{SK}.Settings"}),
    ("smsSettings a text", put(SMS, f"{S}.smsSettings", "x"), {f"$.{S}.smsSettings", NAME}),
    ("SMS body missing", put(SMS, f"{S}.smsSettings.body", ABSENT), {f"$.{S}.smsSettings", NAME}),
    ("SMS body blank", put(SMS, f"{S}.smsSettings.body", " "), {f"{SK}.Settings.Body"}),
    ("SMS policy 3", put(SMS, f"{S}.smsSettings.sendingTimePolicy", 3), {f"{SK}.Settings.SendingTimePolicy"}),
    ("SMS policy unknown", put(SMS, f"{S}.smsSettings.sendingTimePolicy", "Night"), {f"$.{S}.smsSettings.sendingTimePolicy", NAME}),
    ("NIN blank", put(PERSON, f"{P}.nationalIdentityNumber", " "), {f"{PK}.NationalIdentityNumber"}),
    ("NIN of 10", put(PERSON, f"{P}.nationalIdentityNumber", "1283901018"), {f"{PK}.NationalIdentityNumber"}),
    ("NIN of other digits", put(PERSON, f"{P}.nationalIdentityNumber", "١٢٣٤٥٦٧٨٩٠١"), {f"{PK}.NationalIdentityNumber"}),
    ("orgNumber blank", put(ORGANIZATION, f"{G}.orgNumber", ""), {f"{GK}.OrgNumber"}),
    ("orgNumber of 10", put(ORGANIZATION, f"{G}.orgNumber", "3123456090"), {f"{GK}.OrgNumber"}),
    ("orgNumber by another name", put(put(ORGANIZATION, f"{G}.orgNumber", ABSENT), f"{G}.organizationNumber", "312345609"), {f"$.{G}", NAME}),
    ("identity blank", put(IDENTITY, f"{X}.externalIdentity", " "), {f"{XK}.ExternalIdentity"}),
    ("identity of another kind", put(IDENTITY, f"{X}.externalIdentity", "urn:altinn:person:nin:1"), {f"{XK}.ExternalIdentity"}),
    ("identity without a value", put(IDENTITY, f"{X}.externalIdentity", "urn:altinn:username:%20"), {f"{XK}.ExternalIdentity"}),
    ("identity in capitals", put(IDENTITY, f"{X}.externalIdentity", "URN:ALTINN:USERNAME:kari"), {f"{XK}.ExternalIdentity"}),
    ("identity with a wrong address", put(IDENTITY, f"{X}.externalIdentity", "urn:altinn:person:idporten-email:kari"), {f"{XK}.ExternalIdentity"}),
    *(
        row
        for body, path, key in ((PERSON, P, PK), (ORGANIZATION, G, GK), (IDENTITY, X, XK))
        for row in (
            (f"{key} channelSchema missing", put(body, f"{path}.channelSchema", ABSENT), {f"$.{path}", NAME}),
            (f"{key} channelSchema 9", put(body, f"{path}.channelSchema", 9), {f"{key}.ChannelSchema"}),
            (f"{key} channelSchema null", put(body, f"{path}.channelSchema", None), {f"$.{path}.channelSchema", NAME}),
            (f"{key} emailSettings absent", put(body, f"{path}.emailSettings", ABSENT), {f"{key}.EmailSettings"}),
            (f"{key} smsSettings absent", put(body, f"{path}.smsSettings", None), {f"{key}.SmsSettings"}),
            (f"{key} both absent for both", put(put(put(body, f"{path}.channelSchema", 4), f"{path}.smsSettings", None), f"{path}.emailSettings", None), {f"{key}.SmsSettings", f"{key}.EmailSettings"}),
            (f"{key} unused settings wrong", put(put(body, f"{path}.channelSchema", "Sms"), f"{path}.emailSettings.subject", " "), {f"{key}.EmailSettings.Subject"}),
            (f"{key} SMS body blank", put(put(body, f"{path}.channelSchema", "Email"), f"{path}.smsSettings.body", ""), {f"{key}.SmsSettings.Body"}),
            (f"{key} resourceId free text", put(body, f"{path}.resourceId", "example"), {f"{key}.ResourceId"}),
            (f"{key} resourceId without name", put(body, f"{path}.resourceId", "urn:altinn:resource:"), {f"{key}.ResourceId"}),
            (f"{key} resourceId empty", put(body, f"{path}.resourceId", ""), {f"{key}.ResourceId"}),
            (f"{key} action alone", put(body, f"{path}.resourceAction", "read"), {f"{key}.ResourceAction"}),
            (f"{key} action blank", put(put(body, f"{path}.resourceId", "urn:altinn:resource:x"), f"{path}.resourceAction", " "), {f"{key}.ResourceAction"}),
        )
    ),
    ("ignoreReservation null", put(PERSON, f"{P}.ignoreReservation", None), {f"$.{P}.ignoreReservation", NAME}),
    ("useStale null", put(PERSON, f"{P}.useStaleContactInformation", None), {f"$.{P}.useStaleContactInformation", NAME}),
    ("in a reminder", put(REMINDED, "reminders.0.recipient.recipientSms.phoneNumber", "1"), {"Reminders[0].Recipient.RecipientSms.PhoneNumber"}),
    ("NUL in a text", put(EMAIL, f"{E}.emailSettings.body", "a\x00b"), {f"{EK}.Settings.Body"}),
    ("NUL in a reference", put(REMINDED, "reminders.0.sendersReference", "\x00"), {"Reminders[0].SendersReference"}),
    ("half a surrogate pair", put(EMAIL, "sendersReference", "\ud800"), {"SendersReference"}),
    ("half a surrogate pair in settings", put(SMS, f"{S}.smsSettings.sender", "x\udc00"), {f"{SK}.Settings.Sender"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "keys"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
async def test_a_wrong_order_is_refused_with_its_keys(refusing: World, body: Any, keys: set[str]) -> None:
    answer = await refusing.send(CHAIN, body)
    assert answer.status == 400, answer.content
    assert answer.keys == keys
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json["title"] == "One or more validation errors occurred."
    assert answer.json["traceId"]


async def test_stages_are_not_mixed(refusing: World) -> None:
    answer = await refusing.send(CHAIN, put(put(EMAIL, "idempotencyId", ""), "conditionEndpoint", "x"))
    assert answer.keys == {"IdempotencyId"}


async def test_a_wrong_order_without_organisation_is_wrong_first(refusing: World) -> None:
    assert (await refusing.send(CHAIN, put(EMAIL, "recipient", {}), creator="-")).status == 400
    answer = await refusing.send(CHAIN, EMAIL, creator="-")
    assert (answer.status, answer.content) == (403, b"")


async def test_no_credential_no_reading(refusing: World) -> None:
    assert (await refusing.send(CHAIN, b"oops", creator=None)).status == 401


async def test_a_private_condition_endpoint_is_refused_in_production_only() -> None:
    from tests.contract.orders.world import NoDatabase, open_world

    async with open_world(NoDatabase(), sandbox=False) as production:
        for url in (
            "http://127.0.0.1/c",
            "http://10.1.2.3/c",
            "http://[::1]/c",
            "http://localhost:5090/c",
            "http://2130706433/",
        ):
            answer = await production.send(CHAIN, put(EMAIL, "conditionEndpoint", url))
            assert answer.keys == {"ConditionEndpoint"}, url


async def test_errors_never_repeat_what_was_sent(refusing: World) -> None:
    answer = await refusing.send(CHAIN, put(EMAIL, f"{E}.emailAddress", "secret-person@example"))
    assert b"secret-person" not in answer.content
