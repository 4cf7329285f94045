"""Which rooms make up which role, and how they are handed to each other: the one place that knows them all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import msgspec

from varsel.cli.base import Base
from varsel.runtime.asgi import Api, ASGIApp
from varsel.runtime.endpoints import Bound, bind
from varsel.runtime.errors import DatabaseUnavailable, SettingsError
from varsel.runtime.metrics import RequestMeter, merge, render
from varsel.runtime.site import ENDPOINTS as SITE
from varsel.runtime.site import READY, Page, Site
from varsel.runtime.tasks import end

if TYPE_CHECKING:
    from varsel.channels.email.bounces import ReturnAddress
    from varsel.channels.model import Channel
    from varsel.delivery.bounces import BounceReceiver
    from varsel.delivery.mailbox import MailboxReader
    from varsel.identity.outgoing import ConditionTokens
    from varsel.identity.room import IdentityRoom
    from varsel.identity.trust import Outbound
    from varsel.recipients.http_registers import HttpRegisters
    from varsel.recipients.registers import BuiltinRegisters
    from varsel.runtime.outbound import GuardedClient

#: The roles that answer HTTP.
HTTP_ROLES: Final = ("api", "identity", "web")

Pages = Callable[[], Awaitable[Mapping[str, bytes]]]
States = Callable[[], Awaitable[Mapping[str, str]]]


def returning(base: Base) -> ReturnAddress | None:
    """The signed envelope senders that bring bounces back; None where none can come."""
    from varsel.channels.email.bounces import ReturnAddress

    domain = base.settings.bounce_domain
    return ReturnAddress(domain, base.master_key.mac("bounce", b"")) if domain else None


async def open_bounces(base: Base) -> BounceReceiver | None:
    """The listener for bounces; None where the settings name no domain, or no port outside the sandbox."""
    from varsel.delivery.bounces import BounceReceiver

    settings, address = base.settings, returning(base)
    if address is None or not (settings.bounce_port or base.sandbox):
        return None
    return await BounceReceiver.open(settings.bounce_host, settings.bounce_port, address, base.database)


def mailbox_of(base: Base) -> MailboxReader | None:
    """The reader of the mailbox that bounces arrive in; None where the settings name none. SettingsError when it makes no sense."""
    settings, address = base.settings, returning(base)
    if not settings.bounce_mailbox:
        return None
    if address is None:
        raise SettingsError(
            "VARSEL_BOUNCE_MAILBOX needs VARSEL_BOUNCE_DOMAIN, the domain whose mail arrives there."
        )
    from varsel.channels.email.mailbox import MailboxEndpoint
    from varsel.delivery.bounces import keeper
    from varsel.delivery.mailbox import MailboxReader

    return MailboxReader(MailboxEndpoint.read(settings.bounce_mailbox), address, keeper(base.database))


def channels(base: Base) -> list[Channel]:
    """The providers that the settings name, in their order; no connection is made yet."""
    from varsel.channels.email.dkim_signing import Signer
    from varsel.channels.registry import open_channels

    settings, machine = base.settings, base.machine

    def wall() -> datetime:
        return datetime.fromtimestamp(machine.time(), UTC)

    sign = (
        Signer(settings.dkim_domain, settings.dkim_selector, settings.dkim_key, wall)
        if settings.dkim_domain
        else None
    )
    return open_channels(
        settings.email_url,
        settings.sms_url,
        base.calendar.now,
        wall=wall,
        smtp_connections=settings.smtp_connections,
        returning=returning(base),
        # Without a return address the senders' own mailboxes would get a notice for every mail that arrives.
        ask_success=bool(settings.bounce_domain),
        sign=sign,
    )


def registers_of(base: Base) -> BuiltinRegisters | HttpRegisters:
    """The registers that the settings name; the name register gets the platform's own token, and nobody else does."""
    from varsel.recipients.addresses import load_library
    from varsel.recipients.http_registers import open_registers

    # Off the event loop, before somebody's number asks for it.
    asyncio.get_running_loop().run_in_executor(None, load_library)
    if not base.settings.register_url:
        return open_registers(base.settings, base.database, base.machine, sandbox=base.sandbox)
    from varsel.identity.outgoing import PlatformToken

    return open_registers(
        base.settings,
        base.database,
        base.machine,
        sandbox=base.sandbox,
        platform_token=PlatformToken(base.database, base.machine, base.master_key),
    )


def outbound(base: Base) -> GuardedClient:
    from varsel.runtime.outbound import GuardedClient

    return GuardedClient(base.machine, sandbox=base.sandbox)


class Front:
    """The HTTP roles of one process. `app` is what the listener serves; `identity` decides who is let in."""

    def __init__(self, app: ASGIApp, identity: IdentityRoom, close: contextlib.AsyncExitStack) -> None:
        self.app = app
        self.identity = identity
        self._close = close

    async def close(self) -> None:
        await self._close.aclose()


async def open_front(
    base: Base,
    roles: frozenset[str],
    *,
    states: States | None = None,
    pages: Pages | None = None,
    office: str | None = None,
    issuers: Outbound | None = None,
) -> Front:
    """Open the rooms of `roles` (of HTTP_ROLES).

    `states` and `pages` add other processes' states and metrics pages to ours; with `office`, the address of the process that
    knows them, they are asked for there. `issuers` reaches issuers elsewhere; a guarded client when not given.
    """
    from varsel.console.room import ConsoleRoom, Portal
    from varsel.delivery.queues import Queues
    from varsel.identity.room import IdentityRoom
    from varsel.sandbox.messages import Messages
    from varsel.sandbox.routes import ENDPOINTS as RECEIVED
    from varsel.sandbox.routes import Routes as ReceivedRoutes

    async with contextlib.AsyncExitStack() as stack:
        identity = await IdentityRoom.open(
            base.settings,
            base.database,
            base.machine,
            base.master_key,
            sandbox=base.sandbox,
            listener=base.listener,
            outbound=issuers,
        )
        stack.push_async_callback(identity.close)
        bound: list[Bound] = []
        mounts: dict[str, ASGIApp] = {}
        # What the listeners of the sandbox keep, wherever they run, every process can show.
        received = Messages(base.database) if base.sandbox else None
        if received is not None:
            stack.push_async_callback(received.close)
        if "api" in roles:
            bound += await _api(base, stack)
        if "identity" in roles:
            mounts |= dict.fromkeys(IDENTITY_PATHS, identity.app)
        if "web" in roles:
            console = await ConsoleRoom.open(
                base.settings,
                base.calendar,
                sandbox=base.sandbox,
                inbox=received,
                portal=Portal(identity, base.database, base.machine, base.master_key),
            )
            stack.push_async_callback(console.close)
            mounts["/console"] = console.app
        if received is not None:
            bound += bind(RECEIVED, ReceivedRoutes(received, base.calendar, base.settings.file_host_port))

        queues = Queues(base.database, base.calendar, base.machine)

        async def all_states() -> Mapping[str, str]:
            if office is not None:
                told = msgspec.json.decode(await _asked(office + "/health/ready"))
                return dict(told["parts"])
            found = {"database": await _database_state(base)}
            found |= dict.fromkeys(sorted(roles), READY)
            return found | dict(await states() if states else {})

        async def all_pages() -> bytes:
            if office is not None:
                return await _asked(office + "/metrics")
            await queues.refresh()
            found = {"http": render()} | dict(await pages() if pages else {})
            return merge(found)

        site = Site(
            mounts=mounts,
            states=all_states,
            metrics=all_pages,
            pages=_documents(base, tuple(bound), roles),
            home="/console" if "web" in roles else None,
        )
        app = Api(
            tuple(bound),
            identity.authorizer,
            telemetry=RequestMeter(),
            fallback=site,
            strict=base.settings.strict_imitation,
            access_log=base.settings.access_log,
        )
        return Front(app, identity, stack.pop_all())
    raise AssertionError("unreachable")  # pragma: no cover - the stack does not swallow errors


async def _asked(url: str) -> bytes:
    """The answer of another process of this installation, whatever its status."""

    def ask() -> bytes:
        try:
            with OFFICE_CALLS.open(url, timeout=5) as answer:
                return bytes(answer.read())
        except HTTPError as error:
            with error:
                return error.read()

    return await asyncio.to_thread(ask)


#: Never through a proxy of the environment: this is loopback.
OFFICE_CALLS: Final = build_opener(ProxyHandler({}))
#: Seconds for the database to show that it answers; whoever asks for readiness does not wait much longer.
READY_SECONDS: Final = 2.0
#: Paths that belong to the identity room.
IDENTITY_PATHS: Final = (
    "/maskinporten",
    "/authentication",
    "/selfservice",
    "/idporten",
    "/orgs",
    "/dev/tokens",
)


async def _api(base: Base, stack: contextlib.AsyncExitStack) -> list[Bound]:
    from varsel.delivery.forecast import Forecaster
    from varsel.delivery.instant import InstantSender
    from varsel.delivery.room import DeliveryRoom, window_of
    from varsel.orders.room import OrdersRoom
    from varsel.review.room import ReviewRoom

    registers = registers_of(base)
    stack.push_async_callback(registers.close)
    sender = await InstantSender.open(
        base.settings, base.database, base.calendar, base.machine, channels(base)
    )
    stack.push_async_callback(sender.close)
    orders = await OrdersRoom.open(
        base.settings,
        base.database,
        base.calendar,
        base.machine,
        base.master_key,
        sandbox=base.sandbox,
        sender=sender,
        registers=registers,
        forecast=Forecaster(registers, window_of(base.settings)),
    )
    stack.push_async_callback(orders.close)
    review = await ReviewRoom.open(
        base.settings,
        base.database,
        base.calendar,
        base.master_key,
        registers=registers,
        listener=base.listener,
        sandbox=base.sandbox,
    )
    stack.push_async_callback(review.close)
    delivery = await DeliveryRoom.open(base.settings, base.database, base.calendar, base.machine)
    return [*orders.bound, *review.bound, *delivery.bound]


def _documents(base: Base, bound: Sequence[Bound], roles: frozenset[str]) -> dict[str, Page]:
    """The API description; made when somebody asks for it, since most servers are never asked."""
    if "api" not in roles:
        return {}

    @cache
    def description() -> bytes:
        from varsel.runtime.openapi import document

        return document((*bound, *SITE), base.settings)

    from varsel.runtime.swagger import pages

    told = Page(b"application/json", description)
    return {"/openapi.json": told, "/swagger/v1/swagger.json": told, **pages()}


async def _database_state(base: Base) -> str:
    try:
        await base.database.fetch_within(READY_SECONDS, "select 1")
    except DatabaseUnavailable:
        return "unavailable"
    return READY


class Working:
    """A worker in this process."""

    def __init__(self, base: Base, close: contextlib.AsyncExitStack) -> None:
        self._base = base
        self._close = close

    async def states(self) -> Mapping[str, str]:
        return {"database": await _database_state(self._base), "worker": READY}

    async def close(self) -> None:
        """Finish what is in hand and give back the leases."""
        await self._close.aclose()


async def open_worker(base: Base) -> Working:
    """Begin to process orders; `base.start()` is the caller's."""
    from varsel.delivery.room import Worker

    async with contextlib.AsyncExitStack() as stack:
        client = outbound(base)
        registers = registers_of(base)
        stack.push_async_callback(registers.close)
        stack.push_async_callback(client.close)
        made: list[ConditionTokens] = []

        async def condition_token(url: str) -> str | None:
            if not made:  # a worker that asks no condition does not load what signs
                from varsel.identity.outgoing import ConditionTokens

                made.append(ConditionTokens(base.settings, base.database, base.machine, base.master_key))
            return await made[0].token(url)

        async def close_tokens() -> None:
            for tokens in made:
                await tokens.close()

        stack.push_async_callback(close_tokens)
        opened = channels(base)
        for channel in opened:
            stack.push_async_callback(channel.close)
        worker = Worker(
            base.settings,
            base.database,
            base.listener,
            base.calendar,
            base.machine,
            base.master_key,
            opened,
            registers,
            client,
            base.sandbox,
            condition_token=condition_token,
        )
        mailbox = mailbox_of(base)
        stack.push_async_callback(worker.stop)
        await worker.start()
        if mailbox is not None:
            stack.push_async_callback(end, asyncio.create_task(mailbox.run(), name="varsel-mailbox"))
        return Working(base, stack.pop_all())
    raise AssertionError("unreachable")  # pragma: no cover - the stack does not swallow errors
