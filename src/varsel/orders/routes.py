"""The ordering side of the Notifications API (docs/reference/notifications-api.md 2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final, TypeVar

from varsel.orders.accept import Flusher
from varsel.orders.drafts import ChainDraft, Defaults
from varsel.orders.model import Digest, Stored
from varsel.orders.reading import RequestReader, normalised
from varsel.orders.rules import RuleBook, check_chain
from varsel.orders.wire import ChainOrder, ChainReceipt
from varsel.runtime.clock import Calendar
from varsel.runtime.endpoints import Call, Endpoint, Policy, Reply
from varsel.runtime.errors import EmptyProblem

BASE: Final = "/notifications/api/v1"
JSON: Final = ("application/json",)
#: Bodies above this many bytes are read and judged in a thread, so that the event loop goes on.
_SMALL: Final = 16_384
_MAC: Final = "idempotency-body"

R = TypeVar("R")

ENDPOINTS: Final = (
    Endpoint(
        "POST",
        f"{BASE}/future/orders",
        "create_chain",
        Policy.CREATE,
        "Order a notification with optional reminders",
        consumes=JSON,
        body_name="notificationOrderRequest",
        request=ChainOrder,
        responses={201: ChainReceipt, 200: ChainReceipt},
        problems=(400, 401, 403, 413, 415, "NOT-00001", "NOT-00002", "NOT-00004"),
        description=(
            "One notification to one recipient, with any number of reminders, created together or not at all. A repeat with the same "
            "`idempotencyId` answers 200 with the first receipt; when its body was another one the answer carries "
            "`Varsel-Idempotency: body-differs`."
        ),
    ),
)


def creator_of(call: Call) -> str:
    """The caller's organisation, or 403 (docs/reference/notifications-api.md 1.6, stage 6)."""
    creator = call.caller.creator
    if creator is None or not creator.strip():
        raise EmptyProblem(403)
    return creator


class Routes:
    """Answers of the endpoints above."""

    def __init__(
        self,
        *,
        flusher: Flusher,
        calendar: Calendar,
        digest: Digest,
        book: RuleBook,
        defaults: Defaults,
        base_url: str,
    ) -> None:
        self._flusher = flusher
        self._calendar = calendar
        self._digest = digest
        self._book = book
        self._defaults = defaults
        self._chains = f"{base_url}{BASE}/orders/chain/".encode()
        self._chain_reader = RequestReader(ChainOrder, "notificationOrderRequest")
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="varsel-large-body")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def create_chain(self, call: Call) -> Reply:
        now = self._calendar.now()
        draft = await self._work(self._draft_chain, call, now)
        stored = await self._flusher.store(draft.entry)
        return self._receipt(draft, stored)

    def _draft_chain(self, call: Call, now: datetime) -> ChainDraft:
        request = self._chain_reader.read(call.body)
        check_chain(request, now, self._book)
        creator = creator_of(call)
        mac = self._digest.mac(_MAC, normalised(request.value))
        return ChainDraft(request.value, mac, creator, now, self._defaults)

    async def _work(self, judge: Callable[[Call, datetime], R], call: Call, now: datetime) -> R:
        if len(call.body) <= _SMALL:
            return judge(call, now)
        return await asyncio.get_running_loop().run_in_executor(self._threads, judge, call, now)

    def _receipt(self, draft: ChainDraft, stored: Stored) -> Reply:
        key = draft.entry.key
        assert key is not None
        if stored.first:
            return Reply(201, stored.receipt, ((b"location", self._chains + str(key.chain_id).encode()),))
        if stored.mac != key.mac:
            return Reply(200, stored.receipt, ((b"varsel-idempotency", b"body-differs"),))
        return Reply(200, stored.receipt)
