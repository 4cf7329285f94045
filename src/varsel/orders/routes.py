"""The ordering side of the Notifications API (docs/reference/notifications-api.md 2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from varsel.orders.accept import Flusher
from varsel.orders.cancel import cancel_chain, cancel_order
from varsel.orders.contact import check_chain_contacts, look_up_contacts
from varsel.orders.drafts import ChainDraft, Defaults
from varsel.orders.drafts_direct import InstantDraft, draft_composed, draft_instant_email, draft_instant_sms
from varsel.orders.drafts_v1 import OrderDraft, draft_order
from varsel.orders.dry_run import DryRuns, Trial, is_wanted
from varsel.orders.endpoints import ENDPOINTS
from varsel.orders.instant import Instants
from varsel.orders.model import Digest, Entry, Key, NewOrder, Stored
from varsel.orders.reading import Request, RequestReader, normalised
from varsel.orders.rules import RuleBook, check_chain, sms_is_too_long
from varsel.orders.rules_direct import (
    check_composed,
    check_instant_email,
    check_instant_sms,
    check_wrapped_instant_sms,
)
from varsel.orders.rules_v1 import check_channel_order, check_email_order, check_sms_order
from varsel.orders.wire import ChainOrder
from varsel.orders.wire_direct import (
    ComposedOrder,
    InstantEmail,
    InstantSms,
    InstantSmsRecipient,
    WrappedInstantSms,
)
from varsel.orders.wire_v1 import ChannelOrder, EmailOrder, OrderReceipt, RecipientLookup, SmsOrder
from varsel.recipients.registers import Registers
from varsel.runtime.asgi import tagged
from varsel.runtime.calls import creator_of, id_of
from varsel.runtime.clock import Calendar
from varsel.runtime.endpoints import BASE, Call, Reply
from varsel.runtime.errors import EmptyProblem
from varsel.store.content import OrderContent, read
from varsel.store.database import Database
from varsel.store.long_texts import MANY, laid_out, let_go
from varsel.store.queries import load

__all__ = ["ENDPOINTS", "Routes"]

_sql: Final = load("varsel.orders")
#: Bodies above this many bytes are read and judged in a thread, so that the event loop goes on.
_SMALL: Final = 16_384
#: Octets of one identifier in a receipt, about.
_IDENTIFIER: Final = 16
_MAC: Final = "idempotency-body"
_TRUNCATED: Final = (b"varsel-warning", b"sms-truncated")

R = TypeVar("R")
T = TypeVar("T", bound=msgspec.Struct)
Headers = tuple[tuple[bytes, bytes], ...]
Check = Callable[[Request[T], datetime, RuleBook], None]


def _warning(*contents: OrderContent) -> Headers:
    """What a receipt warns of: an SMS that the gateway would cut."""
    cut = any(content.sms is not None and sms_is_too_long(content.sms.body) for content in contents)
    return (_TRUNCATED,) if cut else ()


class Routes:
    """Answers of the endpoints. Each reads and judges the body first, and only then asks who the caller is (1.6)."""

    def __init__(
        self,
        *,
        database: Database,
        calendar: Calendar,
        registers: Registers,
        digest: Digest,
        flusher: Flusher,
        instants: Instants,
        dry_runs: DryRuns,
        book: RuleBook,
        defaults: Defaults,
        base_url: str,
    ) -> None:
        self._database = database
        self._calendar = calendar
        self._registers = registers
        self._digest = digest
        self._flusher = flusher
        self._instants = instants
        self._dry_runs = dry_runs
        self._book = book
        self._defaults = defaults
        self._base_url = base_url
        self._orders = f"{base_url}{BASE}/orders/".encode()
        self._chains = self._orders + b"chain/"
        self._chain = RequestReader(ChainOrder, "notificationOrderRequest")
        self._email = RequestReader(EmailOrder, "emailNotificationOrderRequest")
        self._sms = RequestReader(SmsOrder, "smsNotificationOrderRequest")
        self._channel = RequestReader(ChannelOrder, "notificationOrderRequest")
        self._composed = RequestReader(ComposedOrder, "orderRequest")
        self._instant_sms = RequestReader(InstantSms, "request")
        self._wrapped_sms = RequestReader(WrappedInstantSms, "request")
        self._instant_email = RequestReader(InstantEmail, "request")
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="varsel-large-body")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    # v2 orders

    async def create_chain(self, call: Call) -> Reply:
        now = self._calendar.now()
        if len(call.body) <= _SMALL:
            draft = self._draft_chain(call, now)
        else:
            draft = await self._in_thread(self._draft_chain, call, now)
        if is_wanted(call):
            assert draft.entry.key is not None
            reply = await self._dry_chain(call, draft.entry.orders, draft.contents, draft.entry.key)
        else:
            reply = await self._place_chain(draft)
        if len(draft.contents) > MANY:
            await asyncio.to_thread(let_go, draft.contents)
            await asyncio.to_thread(let_go, draft.entry.orders)
        return reply

    async def _place_chain(self, draft: ChainDraft) -> Reply:
        key = draft.entry.key
        assert key is not None
        if draft.needs_registers:
            # A repeat is answered before anybody is looked up; without lookups the insert itself tells a repeat.
            standing = await self._flusher.standing(key)
            if standing is not None:
                return self._receipt(key, standing)
            await check_chain_contacts(self._registers, draft.entry.orders, draft.contents)
        stored = await self._flusher.store(draft.entry)
        return self._receipt(key, stored, (_TRUNCATED,) if draft.cut else ())

    def _draft_chain(self, call: Call, now: datetime) -> ChainDraft:
        request = self._chain.read(call.body)
        try:
            check_chain(request, now, self._book)
            return ChainDraft(
                request.value, self._mac(request.value, call), creator_of(call), now, self._defaults
            )
        finally:
            let_go(request.value.reminders or [])

    async def create_composed(self, call: Call) -> Reply:
        entry = await self._work(self._draft_composed, call)
        assert entry.key is not None
        if is_wanted(call):
            contents = [await read(order.content) for order in entry.orders]
            return await self._dry_chain(call, entry.orders, contents, entry.key)
        return self._receipt(entry.key, await self._flusher.store(entry))

    def _draft_composed(self, call: Call, now: datetime) -> Entry:
        request = self._composed.read(call.body)
        check_composed(request, now, self._book)
        creator = creator_of(call)
        mac = self._mac(request.value, call)
        return draft_composed(request.value, mac, creator, now, defaults=self._defaults, digest=self._digest)

    async def get_chain(self, call: Call) -> Reply:
        chain_id = id_of(call)
        receipt = await self._database.fetchval(_sql.chain_receipt, chain_id, creator_of(call))
        if receipt is None:
            raise EmptyProblem(404)
        return await tagged(call, Reply(200, receipt))

    # v1 orders

    async def create_email_order(self, call: Call) -> Reply:
        return await self._first_generation(self._email, check_email_order, call)

    async def create_sms_order(self, call: Call) -> Reply:
        return await self._first_generation(self._sms, check_sms_order, call)

    async def create_channel_order(self, call: Call) -> Reply:
        return await self._first_generation(self._channel, check_channel_order, call)

    async def _first_generation(
        self,
        reader: RequestReader[EmailOrder] | RequestReader[SmsOrder] | RequestReader[ChannelOrder],
        check: Callable[..., None],
        call: Call,
    ) -> Reply:
        def judge(call: Call, now: datetime) -> OrderDraft:
            request = reader.read(call.body)
            try:
                check(request, now, self._book)
                return draft_order(request.value, creator_of(call), now, self._defaults)
            finally:
                let_go(request.value.recipients or [])

        draft = await self._work(judge, call)
        if is_wanted(call):
            reply = await self._dry_order(call, draft)
        else:
            reply = await self._place_order(draft)
        if len(draft.content.recipients) > MANY:
            recipients = list(draft.content.recipients)
            del draft
            await asyncio.to_thread(let_go, recipients)
        return reply

    async def _place_order(self, draft: OrderDraft) -> Reply:
        lookup = await self._look_up(draft)
        await self._flusher.store(draft.entry)
        identifier = str(draft.order.id)
        headers = ((b"location", self._orders + identifier.encode()), *_warning(draft.content))
        octets = 0 if lookup is None else _IDENTIFIER * len(lookup.is_reserved + lookup.missing_contact)
        return Reply(202, await laid_out(OrderReceipt(identifier, lookup), octets), headers)

    async def _look_up(self, draft: OrderDraft) -> RecipientLookup | None:
        """What the receipt says of recipients without an address of their own; None when there are none."""
        if not draft.needs_registers:
            return None
        return await look_up_contacts(self._registers, draft.order, draft.content)

    # Cancel

    async def cancel_order(self, call: Call) -> Reply:
        order_id = id_of(call)
        creator = creator_of(call)
        now = self._calendar.now()
        status = await cancel_order(self._database, order_id, creator, now, self._base_url)
        return Reply(200, await laid_out(status))

    async def cancel_chain(self, call: Call) -> Reply:
        chain_id = id_of(call)
        creator = creator_of(call)
        return Reply(200, await cancel_chain(self._database, chain_id, creator, self._calendar.now()))

    # Instant messages

    async def create_instant_sms(self, call: Call) -> Reply:
        def judge(call: Call, now: datetime) -> InstantDraft:
            request = self._instant_sms.read(call.body)
            check_instant_sms(request, self._book)
            value = request.value
            return self._draft_sms(value, value.recipient_sms, call, now)

        return await self._instant(judge, call)

    async def create_wrapped_instant_sms(self, call: Call) -> Reply:
        def judge(call: Call, now: datetime) -> InstantDraft:
            request = self._wrapped_sms.read(call.body)
            check_wrapped_instant_sms(request, self._book)
            value = request.value
            return self._draft_sms(value, value.recipient.recipient_sms, call, now)

        return await self._instant(judge, call)

    async def create_instant_email(self, call: Call) -> Reply:
        def judge(call: Call, now: datetime) -> InstantDraft:
            request = self._instant_email.read(call.body)
            check_instant_email(request)
            return draft_instant_email(
                request.value,
                body_mac=self._mac(request.value, call),
                creator=creator_of(call),
                now=now,
                defaults=self._defaults,
            )

        return await self._instant(judge, call)

    def _draft_sms(
        self, value: InstantSms | WrappedInstantSms, recipient: InstantSmsRecipient, call: Call, now: datetime
    ) -> InstantDraft:
        return draft_instant_sms(
            value.idempotency_id,
            value.senders_reference,
            recipient,
            body_mac=self._mac(value, call),
            creator=creator_of(call),
            now=now,
            defaults=self._defaults,
        )

    async def _instant(self, judge: Callable[[Call, datetime], InstantDraft], call: Call) -> Reply:
        draft = await self._work(judge, call)
        if is_wanted(call):
            return await self._dry_chain(call, [draft.order], [draft.content], draft.key, draft.expires_at)
        return self._receipt(draft.key, await self._instants.place(draft), _warning(draft.content))

    # Dry runs

    async def _dry_chain(
        self,
        call: Call,
        orders: Sequence[NewOrder],
        contents: Sequence[OrderContent],
        key: Key,
        expires_at: datetime | None = None,
    ) -> Reply:
        await self._dry_runs.admit(call, key.creator)
        repeat = await self._flusher.standing(key) is not None
        if not repeat:
            await check_chain_contacts(self._registers, orders, contents)
        trial = Trial(orders, contents, repeat=repeat, expires_at=expires_at)
        return await self._dry_runs.answer(trial, self._calendar.now(), _warning(*contents))

    async def _dry_order(self, call: Call, draft: OrderDraft) -> Reply:
        await self._dry_runs.admit(call, draft.order.creator)
        lookup = await self._look_up(draft)
        trial = Trial([draft.order], [draft.content], lookup=lookup, tells_reservation=True)
        return await self._dry_runs.answer(trial, self._calendar.now(), _warning(draft.content))

    # What they share

    async def _work(self, judge: Callable[[Call, datetime], R], call: Call) -> R:
        now = self._calendar.now()
        if len(call.body) <= _SMALL:
            return judge(call, now)
        return await self._in_thread(judge, call, now)

    async def _in_thread(self, judge: Callable[[Call, datetime], R], call: Call, now: datetime) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads, judge, call, now)

    def _mac(self, value: msgspec.Struct, call: Call) -> bytes:
        return self._digest.mac(_MAC, normalised(value, len(call.body)))

    def _receipt(self, key: Key, stored: Stored, warning: Headers = ()) -> Reply:
        if stored.first:
            return Reply(
                201, stored.receipt, ((b"location", self._chains + str(key.chain_id).encode()), *warning)
            )
        if stored.mac != key.mac:
            return Reply(200, stored.receipt, ((b"varsel-idempotency", b"body-differs"),))
        return Reply(200, stored.receipt)
