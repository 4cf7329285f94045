"""Every endpoint called with curl: the steps of docs/reference/transcript.md, and how the page is made of real answers.

python -m tests.contract.transcript docs/reference/transcript.md      (make transcript)
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tests.support.checked import whole_contract
from tests.support.varsel import Server, directory, environment

SHOWN_URL = "http://127.0.0.1:5090"
API = f"{SHOWN_URL}/notifications/api/v1"
PERSON, ORGANIZATION = "17849012320", "312345609"
DIALOG = "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c20"
#: Secrets of the sandbox that plays the page.
SETTINGS = {
    "metrics_api_key": "figures",
    "sms_report_user": "gateway",
    "sms_report_password": "pass",
    "email_report_secret": "events",
    "environment": "test",
}
CONTACTS = (
    {"person": PERSON, "name": "Kari Prøve", "email": "kari@example.org", "mobile": "+4799999999"},
    {"organization": ORGANIZATION, "name": "Prøve AS", "emails": ["post@example.org"]},
)
SCOPES = (
    "altinn:serviceowner/notifications.create",
    "altinn:serviceowner/notifications.composedemail.create",
    "altinn:notifications.support.admin",
)
#: Variable -> words of `varsel dev token` that make it.
TOKENS = {
    "TOKEN": ("--scope", SCOPES[0], "--scope", SCOPES[1]),
    "SUPPORT": ("--scope", SCOPES[2]),
    "KARI": ("--person", PERSON),
}
#: Stands for the operation of documents that are no rows of the endpoint table.
PAGE = "page"
#: Headers of an answer that tell something.
_HEADERS = re.compile(
    r"(?i)^(content-type|location|etag|allow|retry-after|preference-applied|content-disposition|varsel-.*|webhook-.*|x-(?:file|total|generated|environment).*):"
)
_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_TIME = re.compile(r"\b(\d{4}-\d\d-\d\dT\d\d(?::|%3A)\d\d(?::|%3A)\d\d)(?:\.\d+)?(Z|\+00:00)")
_NOON = datetime(2031, 3, 14, 8, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Step:
    """One call. `keep` names variables and where in the answer their values stand; `until` is what the answer must satisfy, asked
    again until it does; `file` takes a body that is not for reading."""

    operation: str
    says: str
    method: str
    url: str
    headers: tuple[str, ...] = ()
    json: Any = None
    data: str | None = None
    keep: dict[str, str] = field(default_factory=dict)
    until: Callable[[Any], bool] | None = None
    file: str | None = None

    @property
    def command(self) -> str:
        words = ["curl -si" if self.file is None else f"curl -s -D - -o {self.file}"]
        if self.method != ("GET" if self.json is None and self.data is None else "POST"):
            words.append(f"-X {self.method}")
        words.append(f'"{self.url}"')
        lines = [" ".join(words), *(f'-H "{header}"' for header in self.headers)]
        if self.json is not None:
            body = json.dumps(self.json, indent=2, ensure_ascii=False)
            lines += ['-H "Content-Type: application/json"', f"-d '{body}'"]
        elif self.data is not None:
            lines.append(f"-d '{self.data}'")
        return " \\\n    ".join(lines)


def bearer(name: str = "TOKEN") -> str:
    return f"Authorization: Bearer ${name}"


def get(operation: str, says: str, url: str, *headers: str, **more: Any) -> Step:
    return Step(operation, says, "GET", url, headers, **more)


def post(operation: str, says: str, url: str, *headers: str, **more: Any) -> Step:
    return Step(operation, says, "POST", url, headers, **more)


def ended(shipment: Any) -> bool:
    return bool(shipment["status"] == "Order_Completed")


PERSON_ORDER = {
    "idempotencyId": "case-42/1",
    "sendersReference": "case-42",
    "dialogportenAssociation": {"dialogId": DIALOG},
    "recipient": {
        "recipientPerson": {
            "nationalIdentityNumber": PERSON,
            "channelSchema": "EmailPreferred",
            "emailSettings": {"subject": "Ny melding", "body": "Hei $recipientName$, logg inn for å lese."},
            "smsSettings": {"body": "Du har en ny melding.", "sendingTimePolicy": "Anytime"},
        }
    },
}
LATER_ORDER = {
    "idempotencyId": "case-43/1",
    "requestedSendTime": "2099-03-14T08:00:00+01:00",
    "recipient": {
        "recipientEmail": {
            "emailAddress": "ola@example.org",
            "emailSettings": {"subject": "Ny melding", "body": "Du har en ny melding."},
        }
    },
    "reminders": [
        {
            "delayDays": 7,
            "recipient": {
                "recipientSms": {"phoneNumber": "+4799999999", "smsSettings": {"body": "Husk meldingen."}}
            },
        }
    ],
}
SMS = {"phoneNumber": "+4799999999", "timeToLiveInSeconds": 360, "smsSettings": {"body": "Kode: 482913"}}
ORDERS, FUTURE = f"{API}/orders", f"{API}/future/orders"
HOOKS = f"{API}/future/webhooks"

GROUPS: dict[str, tuple[Step, ...]] = {
    "An order, from its acceptance to the feed": (
        post("create_chain", "Order one notification to a person, at the address that the register has.", FUTURE, bearer(), json=PERSON_ORDER,
             keep={"CHAIN": "notificationOrderId", "SHIPMENT": "notification.shipmentId"}),
        post("create_chain", "The same once more: the same receipt, and no new order.", FUTURE, bearer(), json=PERSON_ORDER),
        get("get_shipment", "Where it stands, a moment later.", f"{API}/future/shipment/$SHIPMENT", bearer(), until=ended),
        get("get_feed", "The status feed has it, once.", f"{API}/future/shipment/feed?seq=0&pageSize=1", bearer(), until=bool),
        get("get_chain", "The receipt again, from the address in `Location`.", f"{ORDERS}/chain/$CHAIN", bearer()),
        get("get_messages", "What the person received.", f"{SHOWN_URL}/sandbox/api/messages?to=kari@example.org"),
        post("create_chain", "A dry run tells what would happen, and stores nothing.", FUTURE, bearer(), "Prefer: dry-run",
             json=PERSON_ORDER | {"idempotencyId": "case-42/2"}),
    ),
    "Refusals": (
        post("create_chain", "No credential: 401, nothing else.", FUTURE, json=LATER_ORDER),
        post("create_chain", "A required member is missing.", FUTURE, bearer(), json={"idempotencyId": "case-44/1"}),
        post("create_chain", "A value is wrong: the key names it.", FUTURE, bearer(),
             json={"idempotencyId": "case-44/1", "recipient": {"recipientSms": SMS | {"phoneNumber": "12345678"}}}),
        post("create_chain", "Nobody knows an address of this person.", FUTURE, bearer(),
             json={"idempotencyId": "case-44/1", "recipient": {"recipientPerson": PERSON_ORDER["recipient"]["recipientPerson"] | {"nationalIdentityNumber": "01839010199"}}}),
        get("get_shipment", "Unknown, or another creator's.", f"{API}/future/shipment/{DIALOG}", bearer()),
    ),
    "Reminders, and cancelling": (
        post("create_chain", "An order for later, with a reminder a week after it.", FUTURE, bearer(), json=LATER_ORDER,
             keep={"LATER": "notificationOrderId", "FIRST": "notification.shipmentId"}),
        Step("cancel_order", "Cancel the first message alone.", "PUT", f"{ORDERS}/$FIRST/cancel", (bearer(),)),
        Step("cancel_chain", "Cancel all that is left of the chain.", "PUT", f"{ORDERS}/chain/$LATER/cancel", (bearer(),)),
    ),
    "E-mail with files": (
        get("get_file_address", "The sandbox has a file store of its own.", f"{SHOWN_URL}/sandbox/api/files/avtale.pdf", keep={"FILE": "sasUrl"}),
        post("create_composed", "One e-mail with that file.", f"{FUTURE}/composed-email", bearer(), json={
            "idempotencyId": "contract-77",
            "recipient": {
                "emailAddress": "kari@example.org",
                "emailSettings": {
                    "subject": "Signert avtale",
                    "body": "Avtalen ligger vedlagt.",
                    "attachments": [{"filename": "avtale.pdf", "mimeType": "application/pdf", "sasUrl": "'$FILE'"}],
                },
            },
        }),
    ),
    "Instant messages": (
        post("create_instant_sms", "An SMS, sent before the answer comes.", f"{FUTURE}/instant/sms", bearer(),
             json={"idempotencyId": "otp-1", "recipientSms": SMS}, keep={"SMS": "notification.shipmentId"}),
        post("create_instant_email", "An e-mail.", f"{FUTURE}/instant/email", bearer(), json={
            "idempotencyId": "receipt-1",
            "recipientEmail": {"emailAddress": "kari@example.org", "emailSettings": {"subject": "Kvittering", "body": "Takk."}},
        }),
        post("create_wrapped_instant_sms", "An SMS in the former shape.", f"{FUTURE}/instant", bearer(),
             json={"idempotencyId": "otp-2", "recipient": {"recipientSms": SMS}}),
    ),
    "Orders of the first generation": (
        post("create_email_order", "An e-mail to several recipients.", f"{ORDERS}/email", bearer(), json={
            "sendersReference": "invoice-run-17", "subject": "Ny faktura", "body": "Se innboksen.",
            "recipients": [{"emailAddress": "kari@example.org"}, {"organizationNumber": ORGANIZATION}],
        }, keep={"ORDER": "orderId"}),
        post("create_sms_order", "An SMS; it leaves in the daytime window.", f"{ORDERS}/sms", bearer(), json={
            "sendersReference": "sms-run-4", "requestedSendTime": "2099-03-14T08:00:00Z", "body": "Ny faktura.",
            "recipients": [{"mobileNumber": "+4799999999"}],
        }),
        post("create_channel_order", "E-mail where there is an address, else SMS.", ORDERS, bearer(), json={
            "notificationChannel": "EmailPreferred", "requestedSendTime": "2099-03-14T08:00:00Z",
            "recipients": [{"nationalIdentityNumber": PERSON}],
            "emailTemplate": {"subject": "Ny faktura", "body": "Se innboksen."}, "smsTemplate": {"body": "Ny faktura."},
        }),
        get("get_order", "An order as it was given.", f"{ORDERS}/$ORDER", bearer()),
        get("get_orders", "All orders with a reference.", f"{ORDERS}?sendersReference=sms-run-4", bearer()),
        get("get_email_results", "What became of each e-mail.", f"{ORDERS}/$ORDER/notifications/email", bearer(),
            until=lambda found: [one["sendStatus"]["status"] for one in found["notifications"]] == ["Delivered"] * 2),
        get("get_order_status", "The same in numbers.", f"{ORDERS}/$ORDER/status", bearer()),
        get("get_sms_results", "Works for orders of the second generation too: the instant SMS from above.", f"{ORDERS}/$SMS/notifications/sms", bearer(),
            until=lambda found: found["notifications"][0]["sendStatus"]["status"] == "Delivered"),
    ),
    "The log of a dialog": (
        get("get_log", "What a creator sent in a dialog.", f"{API}/future/log?dialogId={DIALOG}", bearer()),
        get("get_person_log", "What concerns a person in it.", f"{API}/future/enduser/log?dialogId={DIALOG}", bearer("KARI")),
    ),
    "Support": (
        get("search_person", "Every notification to a person in the last seven days; the number stands in a header.",
            f"{API}/future/dashboard/recipients/notifications/nin", bearer("SUPPORT"), f"NationalIdentityNumber: {PERSON}"),
        get("search_organization", "Every notification to an organization.",
            f"{API}/future/dashboard/recipients/notifications/orgnumber", bearer("SUPPORT"), f"OrganizationNumber: {ORGANIZATION}"),
    ),
    "Webhooks": (
        post("add_webhook", "Events to an address of one's own; here one that answers 200 to anybody.", HOOKS, bearer(),
             json={"url": f"{API}/trigger/sendemail", "events": ["order.completed"]}, keep={"HOOK": "id"}),
        Step("test_webhook", "Send an event to try it.", "POST", f"{HOOKS}/$HOOK/test", (bearer(),)),
        get("get_webhook_attempts", "What was tried.", f"{HOOKS}/$HOOK/attempts", bearer(), until=bool),
        get("get_webhooks", "All of the caller's.", HOOKS, bearer()),
        get("get_webhook", "One of them.", f"{HOOKS}/$HOOK", bearer()),
        Step("rotate_webhook", "A new secret; both are good for a day.", "POST", f"{HOOKS}/$HOOK/rotate", (bearer(),)),
        Step("delete_webhook", "Take it away.", "DELETE", f"{HOOKS}/$HOOK", (bearer(),)),
    ),
    "Figures": (
        get("get_figures_form", "A page with a form for a month.", f"{API}/metrics", file="form.html"),
        post("get_figures", "The page with its table.", f"{API}/metrics", data="month=3&year=2031", file="figures.html"),
        Step("get_daily_sms", "Yesterday's SMS as Parquet.", "POST", f"{API}/metrics/sms", ("X-API-Key: figures",), file="sms.parquet"),
        Step("get_daily_email", "Yesterday's e-mails.", "POST", f"{API}/metrics/email", ("X-API-Key: figures",), file="email.parquet"),
        Step("get_daily_sms", "Without the key.", "POST", f"{API}/metrics/sms"),
    ),
    "What schedulers and neighbouring services call": (
        Step("process_due", "Take up what is due.", "POST", f"{API}/trigger/pastdueorders"),
        Step("wake_email", "Look for waiting e-mail.", "POST", f"{API}/trigger/sendemail"),
        Step("wake_sms_anytime", "Look for waiting SMS.", "POST", f"{API}/trigger/sendsmsanytime"),
        Step("wake_sms_daytime", "Look for SMS of the daytime window.", "POST", f"{API}/trigger/sendsmsdaytime"),
        Step("wake_sms", "The same by its other name.", "POST", f"{API}/trigger/sendsms"),
        Step("end_expired", "End what has waited too long for its last word.", "POST", f"{API}/trigger/terminateexpirednotifications"),
        Step("delete_old_feed", "Forget old entries of the feed.", "POST", f"{API}/trigger/deleteoldstatusfeedrecords"),
        get("get_condition", "A send condition for tests.", f"{API}/tests/sendcondition?conditionMet=true"),
        post("send_internal_sms", "One SMS for another service.", f"{SHOWN_URL}/notifications/sms/api/v1/instantmessage/send", json={
            "notificationId": "9c0f6ef2-3f69-4b34-b5a1-57e2c7a7d3b4", "sender": "Varsel", "recipient": "+4799999999",
            "message": "Kode: 482913", "timeToLive": 360,
        }),
        post("send_internal_email", "One e-mail.", f"{SHOWN_URL}/notifications/email/api/v1/instantemail", json={
            "notificationId": "5d3b4f9e-7f0b-4d3c-8e39-0e6f3f1f7a01", "sender": "noreply@example.org", "recipient": "kari@example.org",
            "subject": "Kvittering", "body": "<b>Takk</b>", "contentType": "Html",
        }),
    ),
    "Reports of providers": (
        post("sms_reports", "The SMS gateway tells what became of a message. An unknown reference is no error to it.",
             f"{SHOWN_URL}/notifications/sms/api/v1/reports", "Authorization: Basic Z2F0ZXdheTpwYXNz", "Content-Type: application/xml",
             data='<?xml version="1.0"?><MSGLST><MSG><ID>1</ID><REF>870011223</REF><RCV>4799999999</RCV><STATE>DELIVRD</STATE></MSG></MSGLST>'),
        post("email_reports", "The e-mail provider introduces itself.", f"{SHOWN_URL}/notifications/email/api/v1/reports",
             "X-Varsel-Report-Secret: events",
             json=[{"id": "1", "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "512d38b6"}}]),
        Step("email_handshake", "The same where it sends CloudEvents.", "OPTIONS", f"{SHOWN_URL}/notifications/email/api/v1/reports",
             ("X-Varsel-Report-Secret: events", "WebHook-Request-Origin: eventgrid.azure.net")),
    ),
    "Health, and the sandbox's inbox": (
        get("get_health", "Whether the process runs.", f"{SHOWN_URL}/health"),
        get("get_readiness", "Whether all it needs works.", f"{SHOWN_URL}/health/ready"),
        get(PAGE, "The description of all this.", f"{SHOWN_URL}/openapi.json", file="openapi.json"),
        get(PAGE, "The same, where clients of the public API look for it.", f"{SHOWN_URL}/swagger/v1/swagger.json", file="swagger.json"),
        get(PAGE, "And readable.", f"{SHOWN_URL}/swagger", file="swagger.html"),
        Step("delete_messages", "Empty the inbox.", "DELETE", f"{SHOWN_URL}/sandbox/api/messages"),
    ),
}  # fmt: skip


@dataclass
class Answer:
    """What came: the status line, the headers worth showing, and the body, already in the page's form."""

    status: str
    headers: list[str]
    body: str

    @property
    def text(self) -> str:
        return "\n".join([self.status, *self.headers, *(["", self.body] if self.body else [])])


class Play:
    """Plays the steps against a running sandbox."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._url = server.url
        self._folder = folder
        self._variables: dict[str, str] = {}
        self._known: set[str] = set()
        self._ids: dict[str, str] = {}
        self._begun = datetime.now(UTC)
        contacts = folder / "contacts.jsonl"
        contacts.write_text("".join(json.dumps(one) + "\n" for one in CONTACTS), "utf-8")
        done = server.run("contacts", "import", str(contacts))
        assert done.returncode == 0, done.stderr
        for name, words in TOKENS.items():
            self._variables[name] = server.token(*words)

    def answers(self) -> Iterator[tuple[str, Step, Answer]]:
        """Group, step and answer, in the order of the page."""
        for group, steps in GROUPS.items():
            for step in steps:
                yield group, step, self._answer(step)

    def _answer(self, step: Step) -> Answer:
        self._known.update(_ID.findall(step.command))
        deadline = time.monotonic() + 60
        while True:
            head, _, body = self._run(step).partition("\r\n\r\n")
            # The answer must be good before it must be what is waited for.
            if step.until is None or (head.split()[1] == "200" and step.until(json.loads(body))):
                break
            assert time.monotonic() < deadline, (step, head, body)
            time.sleep(0.05)
        for name, path in step.keep.items():
            assert head.split()[1].startswith("2"), (step, head, body)
            value = json.loads(body)
            for part in path.split("."):
                value = value[part]
            self._variables[name] = value
        status, *headers = head.split("\r\n")
        self._check(step, int(status.split()[1]), headers, body)
        return Answer(
            status,
            [self._shown(header) for header in headers if _HEADERS.match(header)],
            self._shown(body.rstrip("\n")) if step.file is None else "",
        )

    def _check(self, step: Step, status: int, headers: list[str], body: str) -> None:
        """The answer is also what the description tells of."""
        content = (self._folder / step.file).read_bytes() if step.file else body.encode()
        told = {name.lower(): value for name, _, value in (header.partition(": ") for header in headers)}
        path = step.url.removeprefix(SHOWN_URL).partition("?")[0]
        for name, value in self._variables.items():
            path = path.replace(f"${name}", value)
        whole_contract().check(step.method, path, status, told, content)

    def _run(self, step: Step) -> str:
        command = step.command.replace("curl ", "curl -S --max-time 30 ", 1).replace(SHOWN_URL, self._url)
        done = subprocess.run(
            ["bash", "-euc", command],
            capture_output=True,
            env=environment() | self._variables,
            cwd=self._folder,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout.decode()

    def _shown(self, text: str) -> str:
        """As on the page: ids and times that are the same in every play, and no secrets."""
        text = text.replace(self._url, SHOWN_URL)
        text = re.sub(r"http://127\.0\.0\.1:(?!5090\b)\d+", "http://127.0.0.1:5091", text)
        text = _ID.sub(lambda found: found[0] if found[0] in self._known else self._id(found[0]), text)
        text = _TIME.sub(self._time, text)
        for pattern, shown in (
            (r'"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]"', '"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"'),
            (r'(?i)^(etag: )"[0-9a-f]+"', r'\1"8f14e45fceea167a5a36dedd4bea2543"'),
            (r"(?i)^(x-file-hash: ).*", r"\1…"),
            (r"(?i)^(x-file-size: ).*", r"\g<1>4711"),
            (r"filename=\"?\d{8}_", 'filename="20310313_'),
            (r"sig=[^&\"]+", "sig=…"),
            (r"whsec_[^\"]+", "whsec_…"),
            (r"msg_[^\"]+", "msg_…"),
            (r'("took\w*": )\d+', r"\g<1>12"),
        ):  # fmt: skip
            text = re.sub(pattern, shown, text, flags=re.MULTILINE)
        return text

    def _id(self, found: str) -> str:
        return self._ids.setdefault(found, f"0195b6a0-7d3e-7000-8000-{len(self._ids) + 1:012}")

    def _time(self, found: re.Match[str]) -> str:
        at = datetime.fromisoformat(unquote(found[1]) + "+00:00")
        if abs(at - self._begun) > timedelta(days=60):
            return found[0]
        hours = round((at - self._begun) / timedelta(hours=1))
        text = (_NOON + timedelta(hours=hours)).isoformat().removesuffix("+00:00")
        return (quote(text, safe="") if "%" in found[1] else text) + found[2]


def page(answers: Iterator[tuple[str, Step, Answer]]) -> str:
    """The page."""
    contacts = "\n".join(json.dumps(one, ensure_ascii=False) for one in CONTACTS)
    tokens = "\n".join(
        f"$ {name}=$(varsel dev token {' '.join(words)} | tail -1)" for name, words in TOKENS.items()
    )
    keys = " ".join(f"VARSEL_{name.upper()}={value}" for name, value in SETTINGS.items())
    text = f"""# Transcript

Every endpoint called with curl, with its answer. The suite plays this page against a running sandbox and fails when an endpoint is
missing here, or when a status, a header or the shape of an answer is another; `make transcript` writes it anew. Ids and times are
made the same in every play. What a call means stands in [Notifications API](notifications-api.md); every field in
[openapi.json](openapi.json), which a running Varsel shows at `/swagger`.

Begin with a sandbox that has these keys, two contacts, and three tokens. Variables in the calls below are taken from earlier answers.

```console
$ {keys} varsel up --sandbox
$ cat contacts.jsonl
{contacts}
$ varsel contacts import contacts.jsonl
{tokens}
```
"""
    last = ""
    for group, step, answer in answers:
        if group != last:
            text += f"\n## {group}\n"
            last = group
        kept = " and ".join(f"its `{path}` is `${name}` below" for name, path in step.keep.items())
        says = f"{step.says} {kept[:1].upper()}{kept[1:]}.".removesuffix(" .") if kept else step.says
        text += f"\n{says}\n\n```console\n$ {step.command}\n{answer.text}\n```\n"
    return text


def main(path: str) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="varsel-transcript-") as folder,
        directory(Path(folder)) as data,
        Server(data, "--sandbox", **SETTINGS) as server,
    ):
        Path(path).write_text(page(Play(server, Path(folder)).answers()), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
