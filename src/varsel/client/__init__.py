"""Order notifications from Python: tokens, orders, shipments and the feed, blocking or on asyncio.

    from varsel.client import Maskinporten, Notifications, Email, Order, ToEmail

    with Notifications(Maskinporten.from_environment(), environment="tt02") as api:
        receipt = api.order(Order("case-42", ToEmail("kari@example.org", Email("Ny melding", "Logg inn."))))
        print(api.wait_until_final(receipt.shipment_id).status)

Nothing here needs the server; modules with an underscore are private.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._additions import DryRun, LogEntry, Webhook, WebhookAttempt
    from ._answers import (
        Attempt,
        ClassicReceipt,
        DailyFile,
        Delivery,
        FeedEntry,
        MessageResult,
        OrderStatus,
        ProcessingStatus,
        Receipt,
        RecipientLookup,
        ReminderReceipt,
        Results,
        SendStatus,
        Shipment,
        StatusSummary,
        StoredOrder,
        Summary,
        SupportEntry,
    )
    from ._classic import (
        ClassicEmailOrder,
        ClassicOrder,
        ClassicRecipient,
        ClassicSmsOrder,
        EmailTemplate,
        SmsTemplate,
    )
    from ._clock import Clock
    from ._doctor import Finding, diagnose
    from ._environments import ENVIRONMENTS, Environment, environment
    from ._errors import (
        ApiError,
        ClientError,
        ClockSkew,
        ConfigurationError,
        Conflict,
        ExchangeRefused,
        Forbidden,
        InvalidOrder,
        InvalidRequest,
        KeyExpired,
        KeyRefused,
        LoginRefused,
        MaskinportenRefused,
        MissingServiceOwner,
        NotDelegated,
        NotFinal,
        NotFound,
        RecipientUnreachable,
        ScopeNotGranted,
        ScopeNotRegistered,
        ServerError,
        TemporarilyDown,
        TimedOut,
        TokenError,
        TooManyRequests,
        TransportError,
        Unauthorized,
        UnexpectedAnswer,
    )
    from ._exchange import AltinnTokens
    from ._feed import CallableCursor, CursorStore, FileCursor, MemoryCursor
    from ._forwarded import ForwardedToken
    from ._http import Http
    from ._idporten import IdPorten
    from ._jws import Signer
    from ._keys import SignerCallback, SigningKey
    from ._maskinporten import Maskinporten
    from ._notifications import AsyncNotifications, Notifications
    from ._orders import (
        Attachment,
        ComposedEmail,
        ContentType,
        Dialog,
        Email,
        EmailAndSms,
        EmailOnly,
        EmailPreferred,
        InstantEmail,
        InstantSms,
        Order,
        Reminder,
        SendingTime,
        Sms,
        SmsOnly,
        SmsPreferred,
        ToEmail,
        ToIdentity,
        ToOrganization,
        ToPerson,
        ToPhone,
    )
    from ._platform import PlatformToken
    from ._selfservice import AsyncSelfService, Integration, KeySet, ScopeAccess, SelfService
    from ._tokens import Credentials, Token
    from ._vaults import AzureKeyVault, FileSecrets, SecretLoader, load_settings

#: Where each public name lives. Modules are loaded when a name of theirs is first used: a caller that only fetches tokens does not
#: pay for orders. The block above says the same to type checkers, and a test holds the two together.
_HOMES = {
    "_additions": "DryRun LogEntry Webhook WebhookAttempt",
    "_answers": "Attempt ClassicReceipt DailyFile Delivery FeedEntry MessageResult OrderStatus ProcessingStatus Receipt RecipientLookup ReminderReceipt Results SendStatus Shipment StatusSummary StoredOrder Summary SupportEntry",
    "_classic": "ClassicEmailOrder ClassicOrder ClassicRecipient ClassicSmsOrder EmailTemplate SmsTemplate",
    "_clock": "Clock",
    "_doctor": "Finding diagnose",
    "_environments": "ENVIRONMENTS Environment environment",
    "_errors": "ApiError ClientError ClockSkew ConfigurationError Conflict ExchangeRefused Forbidden InvalidOrder InvalidRequest KeyExpired KeyRefused LoginRefused MaskinportenRefused MissingServiceOwner NotDelegated NotFinal NotFound RecipientUnreachable ScopeNotGranted ScopeNotRegistered ServerError TemporarilyDown TimedOut TokenError TooManyRequests TransportError Unauthorized UnexpectedAnswer",
    "_exchange": "AltinnTokens",
    "_feed": "CallableCursor CursorStore FileCursor MemoryCursor",
    "_forwarded": "ForwardedToken",
    "_http": "Http",
    "_idporten": "IdPorten",
    "_jws": "Signer",
    "_keys": "SignerCallback SigningKey",
    "_maskinporten": "Maskinporten",
    "_notifications": "AsyncNotifications Notifications",
    "_orders": "Attachment ComposedEmail ContentType Dialog Email EmailAndSms EmailOnly EmailPreferred InstantEmail InstantSms Order Reminder SendingTime Sms SmsOnly SmsPreferred ToEmail ToIdentity ToOrganization ToPerson ToPhone",
    "_platform": "PlatformToken",
    "_selfservice": "AsyncSelfService Integration KeySet ScopeAccess SelfService",
    "_tokens": "Credentials Token",
    "_vaults": "AzureKeyVault FileSecrets SecretLoader load_settings",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "ENVIRONMENTS",
    "AltinnTokens",
    "ApiError",
    "AsyncNotifications",
    "AsyncSelfService",
    "Attachment",
    "Attempt",
    "AzureKeyVault",
    "CallableCursor",
    "ClassicEmailOrder",
    "ClassicOrder",
    "ClassicReceipt",
    "ClassicRecipient",
    "ClassicSmsOrder",
    "ClientError",
    "Clock",
    "ClockSkew",
    "ComposedEmail",
    "ConfigurationError",
    "Conflict",
    "ContentType",
    "Credentials",
    "CursorStore",
    "DailyFile",
    "Delivery",
    "Dialog",
    "DryRun",
    "Email",
    "EmailAndSms",
    "EmailOnly",
    "EmailPreferred",
    "EmailTemplate",
    "Environment",
    "ExchangeRefused",
    "FeedEntry",
    "FileCursor",
    "FileSecrets",
    "Finding",
    "Forbidden",
    "ForwardedToken",
    "Http",
    "IdPorten",
    "InstantEmail",
    "InstantSms",
    "Integration",
    "InvalidOrder",
    "InvalidRequest",
    "KeyExpired",
    "KeyRefused",
    "KeySet",
    "LogEntry",
    "LoginRefused",
    "Maskinporten",
    "MaskinportenRefused",
    "MemoryCursor",
    "MessageResult",
    "MissingServiceOwner",
    "NotDelegated",
    "NotFinal",
    "NotFound",
    "Notifications",
    "Order",
    "OrderStatus",
    "PlatformToken",
    "ProcessingStatus",
    "Receipt",
    "RecipientLookup",
    "RecipientUnreachable",
    "Reminder",
    "ReminderReceipt",
    "Results",
    "ScopeAccess",
    "ScopeNotGranted",
    "ScopeNotRegistered",
    "SecretLoader",
    "SelfService",
    "SendStatus",
    "SendingTime",
    "ServerError",
    "Shipment",
    "Signer",
    "SignerCallback",
    "SigningKey",
    "Sms",
    "SmsOnly",
    "SmsPreferred",
    "SmsTemplate",
    "StatusSummary",
    "StoredOrder",
    "Summary",
    "SupportEntry",
    "TemporarilyDown",
    "TimedOut",
    "ToEmail",
    "ToIdentity",
    "ToOrganization",
    "ToPerson",
    "ToPhone",
    "Token",
    "TokenError",
    "TooManyRequests",
    "TransportError",
    "Unauthorized",
    "UnexpectedAnswer",
    "Webhook",
    "WebhookAttempt",
    "diagnose",
    "environment",
    "load_settings",
]


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f".{module}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
