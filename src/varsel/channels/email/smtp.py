"""E-mail over SMTP (RFC 5321, 2920, 3461, 1870, 6531): a few kept connections, pipelined transactions.

The point of no return is the end of the content. Each transaction asks for its intent after `354` and before the
first octet of content, so a crash leaves at most one unknown mail for each connection. With PIPELINING the commands
of the next mail travel behind the content of this one (RFC 2920 3.1 allows it), which makes one round trip a mail.

What a failure means:

* before the intent (connection, EHLO, TLS, log-on, MAIL, RCPT, DATA): never Unknown. The table is in `replies`.
* not granted: the only way out of DATA is to close the connection; a server drops a mail that never ended.
* after the intent: Unknown once the final dot was given to the kernel, else Temporary.

Whether a Temporary is the provider's fault or the message's is weighed in `blame`.

DSN (RFC 3461) is asked for where offered as NOTIFY=SUCCESS,FAILURE: success is the proof that ends a mail as
`Delivered`, failure its bounce. DELAY is left out, since a delay decides nothing and would only be more mail to read.
ENVID carries the notification id. RET=HDRS keeps the texts of messages out of bounces.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from varsel.channels.email.addresses import Address, AddressError, Sender, read_address, read_sender
from varsel.channels.email.blame import Blame
from varsel.channels.email.bounces import ReturnAddress, bounce_address, without_addresses
from varsel.channels.email.connect import Connector, NoConnection, SmtpEndpoint
from varsel.channels.email.lanes import Lanes, emails
from varsel.channels.email.mime import compose, date_header, message_id
from varsel.channels.email.replies import Reply, Stage, judge
from varsel.channels.email.session import ConnectionEnded, Session
from varsel.channels.intents import IntentGroup
from varsel.channels.model import (
    Accepted,
    EmailMessage,
    Intend,
    Message,
    Outcome,
    Permanent,
    Settle,
    Temporary,
    Unknown,
)
from varsel.channels.slices import line_slices
from varsel.runtime.steps import step

Sign = Callable[[bytes], bytes]
"""Takes the message, gives the header lines to put before it (a DKIM-Signature with its CRLF)."""

_SMALL = 1 << 16  # below this the content and its final dot go in one write
_THREADED = 1 << 16  # a message that weighs more is put together off the loop
_TIMES_WAITED = 4
_LOSSES = 2  # connections a message may lose before it is given back


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for each step. Shorter than RFC 5321 4.5.3.2 before the content, where giving up costs nothing; the
    ten minutes for the final reply are kept, since giving up there makes an Unknown.
    """

    connect: float = 15.0
    command: float = 60.0
    content: float = 180.0
    final: float = 600.0
    idle: float = 45.0


@dataclass(slots=True)
class _Mail:
    message: EmailMessage
    reference: str
    mail: bytes
    rcpt: bytes
    content: bytes


@dataclass(slots=True)
class _Run:
    """One call of `send`: what waits, and how many lanes still work on it."""

    waiting: deque[EmailMessage]
    intents: IntentGroup[EmailMessage]
    settle: Settle
    lanes: int
    losses: dict[object, int] = field(default_factory=dict)


class SmtpChannel:
    """A pool of `slots` connections to one mail server; a tenth of them is kept for batches of one message.

    `now` gives the moment for the Date header, `domain` the right side of Message-IDs (default: the sender's).
    Without `returning` the sender's own address is the envelope sender, and bounces and success notices go there;
    `ask_success=False` then keeps the latter away.
    """

    kind: Literal["Email"] = "Email"

    def __init__(
        self,
        endpoint: SmtpEndpoint,
        now: Callable[[], datetime],
        *,
        slots: int = 8,
        domain: str | None = None,
        returning: ReturnAddress | None = None,
        ask_success: bool = True,
        sign: Sign | None = None,
        hello: str | None = None,
        timeouts: Timeouts | None = None,
        messages_per_connection: int = 1000,
    ) -> None:
        self.name = endpoint.name
        self.slots = slots
        self._lanes = Lanes(slots)
        self._now = now
        self._domain = domain
        self._returning = returning
        self._notify = b" NOTIFY=SUCCESS,FAILURE" if ask_success else b" NOTIFY=FAILURE"
        self._sign = sign
        self._timeouts = timeouts or Timeouts()
        self._connector = Connector(endpoint, hello, self._timeouts.connect)
        self._most = messages_per_connection
        self._idle: list[Session] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._last_failure = Temporary(None, "", "", "provider")
        self._blame = Blame()
        self._date: tuple[str, datetime | None] = ("", None)

    async def send(self, messages: Sequence[Message], intend: Intend, settle: Settle) -> None:
        """See `Channel.send`."""
        waiting = emails(messages)
        if not waiting:
            return
        run = _Run(waiting, IntentGroup(intend, settle), settle, self._lanes.needed(len(waiting)))
        await self._lanes.run(len(waiting), lambda: self._lane(run))

    async def close(self) -> None:
        """See `Channel.close`."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._idle:
            self._idle.pop().leave()

    async def _lane(self, run: _Run) -> None:
        """One connection at a time, until nothing waits or no connection can be had."""
        try:
            while run.waiting:
                try:
                    session = await self._connected()
                except NoConnection as failure:
                    if run.lanes == 1:  # the last lane: nobody else will take what is left
                        while run.waiting:
                            run.settle(run.waiting.popleft(), failure.outcome)
                    return
                await self._converse(session, run)
        finally:
            run.lanes -= 1

    # -- one connection ------------------------------------------------------------------------------------------

    async def _converse(self, session: Session, run: _Run) -> None:
        """Hand over what waits until it is empty, the connection ends, or it has carried enough."""
        opened: _Mail | None = None
        following: _Mail | None = None
        try:
            while True:
                written = following is not None
                opened, following = following, None
                if opened is None:
                    opened = await self._next(session, run)
                    if opened is None:
                        self._keep(session)
                        return
                refusal = await self._enter(session, opened, written)
                if refusal is not None:
                    mail, opened = opened, None
                    self._refused(session, run, mail, refusal)
                    if not session.usable:
                        session.abort()
                        return
                    continue
                following = await self._next(session, run) if session.pipelining else None
                mail, opened = opened, None
                if not await run.intents.ask(mail.message):
                    session.abort()
                    return
                await self._hand_over(session, run, mail, following)
        except ConnectionEnded as end:
            session.abort()
            if opened is not None:
                self._give_back(run, opened.message, Temporary(None, "", str(end), "provider"))
        except BaseException:
            session.abort()
            raise
        finally:
            # Its commands may be written, but no intent was: it waits for the next connection.
            if following is not None:
                run.waiting.appendleft(following.message)

    async def _next(self, session: Session, run: _Run) -> _Mail | None:
        """The next message as bytes; what can never be sent is settled on the way."""
        while run.waiting and session.handed_over < self._most:
            message = run.waiting.popleft()
            try:
                mail = await self._prepare(message, session)
            except BaseException:
                run.waiting.appendleft(message)
                raise
            if isinstance(mail, Permanent):
                run.settle(message, mail)
                continue
            session.handed_over += 1
            return mail
        return None

    async def _enter(self, session: Session, mail: _Mail, written: bool) -> Permanent | Temporary | None:
        """MAIL, RCPT and DATA. None when the server waits for the content."""
        steps: list[tuple[Stage, bytes]] = [("mail", mail.mail), ("rcpt", mail.rcpt), ("data", b"DATA\r\n")]
        if not written and session.needs_reset:
            session.needs_reset = False
            session.write(b"RSET\r\n")
            if (await session.reply(self._timeouts.command)).code // 100 != 2:
                raise ConnectionEnded("RSET was refused")
        if session.pipelining and not written:
            session.write(mail.mail + mail.rcpt + b"DATA\r\n")
        refusal: Permanent | Temporary | None = None
        for stage, line in steps:
            if not session.pipelining:
                session.write(line)
            try:
                reply = await session.reply(self._timeouts.command)
            except ConnectionEnded:
                if refusal is not None:
                    return refusal  # said why before it left
                raise
            if stage != "data" and reply.code // 100 == 2:
                continue
            if stage == "data" and reply.code == 354:
                if refusal is None:
                    return None
                # RFC 2920 3.1: DATA was let through without a recipient; an end with no content leaves it.
                # Whatever becomes of that, what was said about the recipient holds.
                try:
                    session.write(b".\r\n")
                    if (await session.reply(self._timeouts.command)).code == 421:
                        session.abort()
                except ConnectionEnded:
                    session.abort()
                return refusal
            if reply.code // 100 not in (4, 5):
                raise ConnectionEnded(f"the server answered {reply.code} out of turn")
            if refusal is None:
                refusal = judge(reply, stage)
                session.needs_reset = True
            if reply.code == 421 or not session.pipelining:
                return refusal
        return refusal

    def _refused(self, session: Session, run: _Run, mail: _Mail, refusal: Permanent | Temporary) -> None:
        if refusal.code.startswith("421"):
            session.abort()
            self._give_back(run, mail.message, refusal)
            raise ConnectionEnded("the server closes the connection")
        run.settle(mail.message, self._blame.judge(refusal, asyncio.get_running_loop().time()))

    def _give_back(self, run: _Run, message: EmailMessage, outcome: Permanent | Temporary) -> None:
        """Lost with its connection and certainly not sent: once more on another one, then somebody is to blame.

        A kept connection may have been closed by the far end just now, which says nothing about the provider.
        """
        losses = run.losses.get(message.attempt_id, 0) + 1
        run.losses[message.attempt_id] = losses
        if losses < _LOSSES:
            run.waiting.appendleft(message)
        else:
            run.settle(message, self._blame.judge(outcome, asyncio.get_running_loop().time()))

    async def _hand_over(self, session: Session, run: _Run, mail: _Mail, following: _Mail | None) -> None:
        """The content and its answer. From here the message is settled whatever happens."""
        content = mail.content
        dotted = False
        ended: ConnectionEnded | None = None
        try:
            if len(content) > _SMALL:
                session.write(content)
                await session.drain(self._timeouts.content)
                content = b""
            behind = b"" if following is None else following.mail + following.rcpt + b"DATA\r\n"
            session.write(content + b".\r\n" + behind)
            dotted = True
            reply = await session.reply(self._timeouts.final)
            step("send.written")  # the far end has it, and nothing here has read that
            outcome = self._judge_content(reply, mail)
            if isinstance(outcome, Unknown) or reply.code == 421:
                ended = ConnectionEnded("the server closes the connection")
        except ConnectionEnded as end:
            ended = end
            outcome = Unknown(str(end)) if dotted else self._broken_off(session, end)
        except BaseException:
            # A dot that still waits in this process is not with the far end; abort throws it away.
            gone = dotted and not session.buffered
            session.abort()
            run.settle(
                mail.message,
                Unknown("stopped while waiting for the answer")
                if gone
                else Temporary(0.0, "", "stopped before its end"),
            )
            raise
        run.settle(mail.message, self._blame.judge(outcome, asyncio.get_running_loop().time()))
        if ended is not None:
            raise ended

    @staticmethod
    def _broken_off(session: Session, end: ConnectionEnded) -> Permanent | Temporary:
        """A connection that ended inside the content. A server that will not have the mail may say so and leave at once."""
        reply = session.said()
        if reply is not None and reply.code // 100 in (4, 5):
            return judge(reply, "content")
        return Temporary(None, "", str(end), "provider")

    @staticmethod
    def _judge_content(reply: Reply, mail: _Mail) -> Outcome:
        if reply.code // 100 == 2:
            return Accepted(mail.reference, without_addresses(reply.text))
        if reply.code // 100 in (4, 5):
            return judge(reply, "content")
        return Unknown(f"the server answered {reply.code} to the content")

    # -- one message ---------------------------------------------------------------------------------------------

    async def _prepare(self, message: EmailMessage, session: Session) -> _Mail | Permanent:
        try:
            sender = read_sender(message.sender)
        except AddressError as error:
            return Permanent("Failed", "", f"the sender cannot be used: {error}")
        try:
            recipient = read_address(message.to)
        except AddressError as error:
            return Permanent("Failed_InvalidEmailFormat", "", str(error))
        utf8 = recipient.utf8 or sender.address.utf8
        if utf8 and not session.utf8:
            result = "Failed_InvalidEmailFormat" if recipient.utf8 else "Failed"
            return Permanent(result, "", "the address needs SMTPUTF8, which the server does not offer")
        domain = self._domain or sender.address.domain
        date = self._date_value()
        if message.weight > _THREADED:
            size, content = await asyncio.to_thread(self._content, message, sender, recipient, date, domain)
        else:
            size, content = self._content(message, sender, recipient, date, domain)
        if session.most_octets and size > session.most_octets:
            return Permanent(
                "Failed_PayloadTooLarge", "", f"{size} octets, the server takes {session.most_octets}"
            )
        reference = message_id(message.notification_id, domain)
        path = str(sender.address)
        if self._returning is not None:
            path = bounce_address(message.notification_id, self._returning.domain, self._returning.key)
        mail, rcpt = f"MAIL FROM:<{path}>".encode(), f"RCPT TO:<{recipient}>".encode()
        if session.sized:
            mail += b" SIZE=%d" % size
        if utf8:
            mail += b" BODY=8BITMIME SMTPUTF8"
        if session.dsn:
            mail += b" RET=HDRS ENVID=%b" % message.notification_id.hex.encode()
            rcpt += self._notify
            if not recipient.utf8:
                rcpt += b" ORCPT=rfc822;%b" % _xtext(str(recipient))
        return _Mail(message, reference, mail + b"\r\n", rcpt + b"\r\n", content)

    def _content(
        self, message: EmailMessage, sender: Sender, recipient: Address, date: str, domain: str
    ) -> tuple[int, bytes]:
        """The size of the message as it counts, and the message with its dots stuffed (RFC 5321 4.5.2)."""
        content = compose(message, sender, recipient, date, domain)
        if self._sign is not None:
            content = self._sign(content) + content
        size = len(content)
        if not any(b"\r\n." in piece for piece in line_slices(content)):
            return size, content
        return size, b"".join(piece.replace(b"\r\n.", b"\r\n..") for piece in line_slices(content))

    def _date_value(self) -> str:
        moment = self._now().replace(microsecond=0)
        if moment != self._date[1]:
            self._date = (date_header(moment), moment)
        return self._date[0]

    # -- the pool ------------------------------------------------------------------------------------------------

    def _keep(self, session: Session) -> None:
        if not session.usable:
            session.abort()
        elif session.handed_over >= self._most:
            session.leave()
        else:
            loop = asyncio.get_running_loop()
            session.idle_since = loop.time()
            self._idle.append(session)
            if self._sweeper is None:
                self._sweeper = loop.call_later(self._timeouts.idle, self._sweep)

    def _sweep(self) -> None:
        """Leave connections that were not needed for a while; servers count them."""
        loop = asyncio.get_running_loop()
        old = loop.time() - self._timeouts.idle
        for session in [session for session in self._idle if session.idle_since <= old + 0.01]:
            self._idle.remove(session)
            session.leave()
        self._sweeper = loop.call_later(self._timeouts.idle, self._sweep) if self._idle else None

    async def _connected(self) -> Session:
        while self._idle:
            session = self._idle.pop()
            if session.usable:
                return session
            session.abort()
        loop = asyncio.get_running_loop()
        left = self._retry_at - loop.time()
        if left > 0:
            failure = self._last_failure
            raise NoConnection(Temporary(left, failure.code, failure.detail, "provider"))
        began = loop.time()
        try:
            session = await self._connector.open()
        except NoConnection as failure:
            # 0.5, 1, 2 … 30 s, with jitter so that workers do not come back together. A server that lets connections wait
            # holds up what another one could take: it is left alone for longer than it was waited for.
            # Lanes that failed side by side are one failure.
            now = loop.time()
            if now >= self._retry_at:
                pause = min(30.0, 0.5 * 2 ** min(self._failures, 6)) * random.uniform(0.8, 1.2)
                pause = max(pause, min(60.0, _TIMES_WAITED * (now - began)))
                self._failures += 1
                self._retry_at = now + pause
            self._last_failure = failure.outcome
            raise NoConnection(
                Temporary(self._retry_at - now, failure.outcome.code, failure.outcome.detail, "provider")
            ) from None
        self._failures = 0
        return session


def _xtext(text: str) -> bytes:
    """RFC 3461 4: printable ASCII other than `+` and `=` as it is, everything else as `+` and two hex digits."""
    if "+" not in text and "=" not in text and " " not in text:
        return text.encode("ascii")
    return b"".join(
        b"+%02X" % octet if octet in b"+=" or not 33 <= octet <= 126 else bytes((octet,))
        for octet in text.encode("ascii")
    )
