"""What an SMTP reply means for the message (RFC 5321 4.2, RFC 3463).

| stage | reply | outcome |
|---|---|---|
| any | 421, 4.3.x, 4.7.0; 454; 530, 534, 535, 538; 5.7.8, 5.7.9, 5.7.11, 5.7.14 | Temporary, provider |
| MAIL | 452, 455 | Temporary, provider: it has no room for anybody |
| any | other 4xx (450 busy, 451 greylisted, 452 at RCPT, 4.2.2 full) | Temporary, message |
| any | 5.3.4, 5.2.3; 523; 552 without a status other than at RCPT | Failed_PayloadTooLarge |
| RCPT | 5.1.3; 501 or 553 without a status | Failed_InvalidEmailFormat |
| RCPT | 5.6.7 (no SMTPUTF8 on the way) | Failed_InvalidEmailFormat |
| RCPT | 5.1.x, 5.2.x; 550, 551, 552 without a status | Failed_Bounced |
| content | 5.1.1, 5.1.6, 5.1.10, 5.2.1, 5.2.2 (the mailbox is judged late) | Failed_Bounced |
| any | other 5xx (policy 5.7.1, sender refused, parameters not known) | Failed |

A log-on that is refused or missing is the installation's fault and must not burn messages
(docs/reference/delivery.md 11.2 no. 13), so those 5xx codes are temporary for the message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from varsel.channels.email.bounces import without_addresses
from varsel.channels.model import Permanent, Temporary

Stage: TypeAlias = Literal["mail", "rcpt", "data", "content"]

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")
_LOGON_CODES = frozenset({454, 530, 534, 535, 538})
_LOGON_STATUS = frozenset({"7.8", "7.9", "7.11", "7.14"})
_TOO_LARGE = frozenset({"3.4", "2.3"})
_LATE_BOUNCE = frozenset({"1.1", "1.6", "1.10", "2.1", "2.2"})


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole reply: its code and its lines joined by spaces."""

    code: int
    text: str

    @property
    def status(self) -> str:
        """The enhanced status code of RFC 3463 as `5.1.1`, empty where the server gave none of the reply's class."""
        found = _ENHANCED.match(self.text)
        if found is None or int(found.group(1)) != self.code // 100:
            return ""
        return ".".join(found.groups())


def judge(reply: Reply, stage: Stage) -> Permanent | Temporary:
    """The outcome of a refusal (a reply that is not the one hoped for) at a stage. Pure."""
    status = reply.status
    subject = status[2:]
    code = f"{reply.code} {status}".strip()
    detail = without_addresses(reply.text)
    if reply.code == 421 or reply.code in _LOGON_CODES or (status and subject in _LOGON_STATUS):
        return Temporary(None, code, detail, "provider")
    if reply.code < 500:
        everybody = (
            subject.startswith("3.") or subject == "7.0" or (stage == "mail" and reply.code in (452, 455))
        )
        return Temporary(None, code, detail, "provider" if everybody else "message")
    return Permanent(_permanent(reply.code, subject, stage), code, detail)


def _permanent(code: int, subject: str, stage: Stage) -> str:
    if subject in _TOO_LARGE or code == 523 or (code == 552 and not subject and stage != "rcpt"):
        return "Failed_PayloadTooLarge"
    if stage == "rcpt":
        if subject in ("1.3", "6.7") or (not subject and code in (501, 553)):
            return "Failed_InvalidEmailFormat"
        if subject.startswith(("1.", "2.")) or (not subject and code in (550, 551, 552)):
            return "Failed_Bounced"
    if stage == "content" and subject in _LATE_BOUNCE:
        return "Failed_Bounced"
    return "Failed"
