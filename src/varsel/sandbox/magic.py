"""Magic addresses and numbers: what the far end does on purpose. One table for the inbox, the gateway and the docs.

E-mail: the part of the local part after its last `+`, as in `kari+bounce@example.org`, or the whole local part.
A code as `+451` or `+550` is the reply to RCPT, `+data-451` the reply to the content. SMS: the last four digits of
any Norwegian mobile number, as in `+47 400 0 90 02` → `+4740009002`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

SLOW_SECONDS: Final = 10.0
LATE_SECONDS: Final = 60.0
SOON_SECONDS: Final = 8.0
_CODE = re.compile(r"(?:(data)-)?([45][0-5]\d)\Z")


@dataclass(frozen=True, slots=True)
class MailFate:
    """What becomes of a mail.

    `stage` is where `reply` is given: at RCPT or after the content; a reply of 2xx takes the mail. `wait` is seconds
    before the reply to the content. `drop` closes the connection after the content without a word; `keeps` says
    whether the mail was taken all the same. `notice` is the delivery status notification that follows.
    """

    stage: Literal["rcpt", "content"] = "content"
    reply: str = "250 2.0.0 Ok"
    wait: float = 0.0
    drop: bool = False
    keeps: bool = True
    notice: Literal["delivered", "failed", "none"] = "delivered"
    notice_first: bool = False
    refusals: int | None = None  # how many tries get `reply`; None for all


@dataclass(frozen=True, slots=True)
class SmsFate:
    """What becomes of an SMS.

    `http` other than 200 is the answer to the whole call, `logon` False its refusal. `accepted` and `info` are the
    answer to the message, `states` the words reported afterwards, one report each, `report_after` seconds later;
    `report_first` sends them before the answer. `wait`, `drop` and `refusals` as for mail.
    """

    http: int = 200
    retry_after: int | None = None
    logon: bool = True
    accepted: bool = True
    info: str = ""
    states: tuple[str, ...] = ("DELIVRD",)
    report_after: float = 0.0
    report_first: bool = False
    wait: float = 0.0
    drop: bool = False
    keeps: bool = True
    refusals: int | None = None


@dataclass(frozen=True, slots=True)
class Magic:
    """One row: `tag` in an address, `digits` at the end of a number, and one sentence each of what happens."""

    tag: str
    digits: str
    mail: MailFate | None = None
    mail_says: str = ""
    sms: SmsFate | None = None
    sms_says: str = ""


MAGIC: Final[tuple[Magic, ...]] = (
    Magic(
        "temporary",
        "9001",
        MailFate("rcpt", "451 4.3.0 Try again later", keeps=False),
        "Refused for now at every try (451), so it ends by its expiry.",
        SmsFate(http=503, retry_after=5, keeps=False),
        "The gateway answers 503 with Retry-After: 5 at every try.",
    ),
    Magic(
        "permanent",
        "9002",
        MailFate("rcpt", "550 5.1.1 No such mailbox", keeps=False),
        "Refused for good at RCPT (550 5.1.1).",
        SmsFate(accepted=False, info="Invalid RCV", keeps=False),
        "Refused for good with Invalid RCV.",
    ),
    Magic(
        "slow",
        "9003",
        MailFate(wait=SLOW_SECONDS),
        "Taken after ten seconds.",
        SmsFate(wait=SLOW_SECONDS),
        "Answered after ten seconds.",
    ),
    Magic(
        "bounce",
        "9004",
        MailFate(notice="failed"),
        "Taken, then a failure notice comes back.",
        SmsFate(states=("UNDELIV",)),
        "Taken, then reported UNDELIV.",
    ),
    Magic(
        "never",
        "9005",
        MailFate(notice="none"),
        "Taken, and nothing is ever reported.",
        SmsFate(states=()),
        "Taken, and nothing is ever reported.",
    ),
    Magic(
        "early",
        "9006",
        MailFate(notice_first=True),
        "The success notice arrives before the answer to the content.",
        SmsFate(report_first=True),
        "The report arrives before the answer to the call.",
    ),
    Magic(
        "greylist",
        "9007",
        MailFate("rcpt", "451 4.7.1 Greylisted, try again", refusals=1),
        "Refused for now at the first try (451), taken at the next.",
        SmsFate(http=503, retry_after=1, refusals=1),
        "The gateway answers 503 with Retry-After: 1 once, then takes it.",
    ),
    Magic(
        "drop",
        "9008",
        MailFate(drop=True, notice="none"),
        "Taken, but the connection closes without an answer: unknown to the sender.",
        SmsFate(drop=True, report_after=LATE_SECONDS),
        "Taken, but the connection closes without an answer; the report comes a minute later.",
    ),
    Magic(
        "lost",
        "9009",
        MailFate(drop=True, keeps=False, notice="none"),
        "Not taken, and the connection closes without an answer: unknown to the sender.",
        SmsFate(drop=True, keeps=False, states=()),
        "Not taken, and the connection closes without an answer: unknown to the sender.",
    ),
    Magic(
        "refused",
        "9010",
        MailFate("content", "554 5.7.1 Refused by policy", keeps=False),
        "Refused for good after the content (554 5.7.1).",
        SmsFate(accepted=False, info="Refused by policy", keeps=False),
        "Refused for good for another reason.",
    ),
    Magic(
        "late",
        "9011",
        None,
        "",
        SmsFate(report_after=LATE_SECONDS),
        "Taken, and reported DELIVRD a minute later.",
    ),
    Magic(
        "twice",
        "9012",
        None,
        "",
        SmsFate(states=("DELIVRD", "DELIVRD")),
        "Taken, and reported DELIVRD twice.",
    ),
    Magic(
        "logon",
        "9013",
        MailFate("rcpt", "530 5.7.0 Authentication required", keeps=False),
        "Refused as if the log-on were missing (530).",
        SmsFate(logon=False, keeps=False),
        "The gateway refuses the log-on.",
    ),
    Magic(
        "",
        "9014",
        None,
        "",
        SmsFate(report_after=SOON_SECONDS),
        "Taken, and reported DELIVRD eight seconds later.",
    ),
    *(
        Magic("", digits, None, "", SmsFate(states=(state,)), f"Taken, then reported {state}.")
        for digits, state in (
            ("9021", "EXPIRED"),
            ("9022", "DELETED"),
            ("9023", "REJECTD"),
            ("9024", "BARRED"),
            ("9025", "BARREDA"),
            ("9026", "ZEROBAL"),
            ("9027", "FAILED"),
            ("9028", "UNKNOWN"),
            ("9029", "NULL"),
            ("9030", "SOMETHINGNEW"),
        )
    ),
)

_ORDINARY_MAIL: Final = MailFate()
_ORDINARY_SMS: Final = SmsFate()
_BY_TAG: Final = {magic.tag: magic.mail for magic in MAGIC if magic.tag and magic.mail is not None}
_BY_DIGITS: Final = {magic.digits: magic.sms for magic in MAGIC if magic.sms is not None}


def tag_of(address: str) -> str:
    """The part of the local part after its last `+`, or the whole local part."""
    return address.rpartition("@")[0].rpartition("+")[2].lower()


def mail_fate(address: str) -> MailFate:
    """What the inbox does with a mail to this address."""
    tag = tag_of(address)
    known = _BY_TAG.get(tag)
    if known is not None:
        return known
    found = _CODE.match(tag)
    if found is None:
        return _ORDINARY_MAIL
    stage: Literal["rcpt", "content"] = "content" if found.group(1) else "rcpt"
    code = found.group(2)
    return MailFate(stage, f"{code} {code[0]}.0.0 As the address asks", keeps=False)


def sms_fate(number: str) -> SmsFate:
    """What the gateway does with an SMS to this number; only Norwegian mobile numbers are magic."""
    digits = "".join(character for character in number if character.isdigit())
    national = digits[-8:]
    if len(national) < 8 or national[0] not in "49" or digits[:-8] not in ("", "47", "0047"):
        return _ORDINARY_SMS
    return _BY_DIGITS.get(national[-4:], _ORDINARY_SMS)
