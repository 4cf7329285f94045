"""Write docs/reference/sdk.md from the code of varsel.client: `sdk_reference.py docs/reference`, called by `make docs`.

Signatures, docstrings and fields are those of the code; this file chooses only the order in which a reader meets them.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from varsel import client, pytest_plugin
from varsel.client import _errors, testing

#: Sections of the page: title, what it is about, names.
SECTIONS: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "Clients",
        "`Notifications` blocks, `AsyncNotifications` is awaited; both have every method below. So with `SelfService`.",
        "Notifications AsyncNotifications SelfService AsyncSelfService Http Clock",
    ),
    (
        "Credentials",
        "What a client authenticates with. One object may serve threads, event loops and clients of either kind at once.",
        "Maskinporten AltinnTokens IdPorten PlatformToken ForwardedToken Credentials Token",
    ),
    (
        "Keys and settings",
        "Keys never show themselves: not in `repr`, not in errors, not in logs.",
        "SigningKey SignerCallback Signer SecretLoader FileSecrets AzureKeyVault load_settings Environment environment diagnose Finding",
    ),
    (
        "Orders",
        "An order that breaks a rule of the API cannot be made: `InvalidOrder` is raised where it is written.",
        "Order Reminder ToEmail ToPhone ToPerson ToOrganization ToIdentity EmailOnly SmsOnly EmailPreferred SmsPreferred EmailAndSms "
        "Email Sms ContentType SendingTime Dialog ComposedEmail Attachment InstantEmail InstantSms",
    ),
    (
        "Orders of the first version",
        "",
        "ClassicOrder ClassicEmailOrder ClassicSmsOrder ClassicRecipient EmailTemplate SmsTemplate",
    ),
    (
        "Answers",
        "Members that the server adds are ignored, so a newer server is understood.",
        "Receipt ReminderReceipt Shipment Delivery FeedEntry ClassicReceipt RecipientLookup OrderStatus ProcessingStatus StatusSummary "
        "Summary StoredOrder Results MessageResult SendStatus SupportEntry Attempt DailyFile LogEntry DryRun Webhook WebhookAttempt Integration KeySet ScopeAccess",
    ),
    (
        "Cursors of the feed",
        "Where `feed()` begins, and what remembers how far it came.",
        "CursorStore MemoryCursor FileCursor CallableCursor",
    ),
)
HEAD: Final = """# Python client

What `varsel.client` shows, written from its code by `make docs`. Modules with an underscore are private. How to use it:
[Order from Python](../how-to/order-from-python.md).

"""


def page() -> str:
    parts = [HEAD]
    for title, words, names in SECTIONS:
        parts.append(f"## {title}\n\n" + (f"{words}\n\n" if words else ""))
        parts += [entry(name, getattr(client, name)) for name in names.split()]
    parts.append(f"## Environments\n\n{environments()}\n")
    parts.append(f"## Errors\n\n{errors()}\n")
    parts.append(
        "## Testing\n\n`varsel.client.testing`; see [Test without a server](../how-to/test-without-a-server.md) and "
        "[Test reminders in seconds](../how-to/test-reminders.md).\n\n"
    )
    parts += [entry(name, getattr(testing, name)) for name in testing.__all__]
    parts.append(f"## Fixtures of pytest\n\n{fixtures()}")
    return "".join(parts).rstrip("\n") + "\n"


def left_out() -> set[str]:
    """Public names that the page forgets."""
    told = {name for _, _, names in SECTIONS for name in names.split()} | {"ENVIRONMENTS"}
    told |= {
        name
        for name in client.__all__
        if inspect.isclass(getattr(client, name)) and issubclass(getattr(client, name), BaseException)
    }
    return set(client.__all__) - told


def entry(name: str, thing: Any) -> str:
    if not inspect.isclass(thing):
        return f"### {name}\n\n```text\n{name}{_signature(thing)}\n```\n\n{_words(thing)}\n\n"
    text = f"### {name}\n\n"
    made = _made(name, thing)
    if made:
        text += f"```text\n{made}\n```\n\n"
    text += f"{_words(thing)}\n\n" if _words(thing) else ""
    if name.startswith("Async"):
        twin = name.removeprefix("Async")
        return (
            text
            + f"The methods of [{twin}](#{twin.lower()}), awaited; what is an iterator there is an asynchronous one here.\n\n"
        )
    members = [_member(*one) for one in _members(thing)]
    return text + ("\n".join(one for one in members if one) + "\n\n" if members else "")


def _made(name: str, thing: type) -> str:
    """How one is made, or which fields it has."""
    if issubclass(thing, msgspec.Struct):
        fields = [f"{one.name}: {_type(one.type)}" for one in msgspec.structs.fields(thing)]
        return _wrapped(name, fields)
    if hasattr(thing, "__members__"):
        return _wrapped(name, [f"{one.name} = {one.value!r}" for one in thing])  # type: ignore[attr-defined]
    if getattr(thing, "_is_protocol", False):
        return ""
    if dataclasses.is_dataclass(thing) or "__init__" in vars(thing) or thing.__init__ is not object.__init__:  # type: ignore[misc]
        return name + _signature(thing)
    return f"{name}()"


def _signature(thing: Any) -> str:
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return "(…)"
    kept = [one for one in found.parameters.values() if one.name not in {"self", "cls"}]
    written = []
    for one in kept:
        if (
            one.kind is one.KEYWORD_ONLY
            and "*" not in written
            and not any(o.kind is o.VAR_POSITIONAL for o in kept)
        ):
            written.append("*")
        text = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "") + one.name
        if one.annotation is not one.empty:
            text += f": {_type(one.annotation)}"
        if one.default is not one.empty:
            text += f" = {_default(one.default)}"
        written.append(text)
    answer = (
        ""
        if found.return_annotation in {found.empty, "None", None}
        else f" -> {_type(found.return_annotation)}"
    )
    return _wrapped("", written, answer)


def _wrapped(name: str, parts: list[str], answer: str = "") -> str:
    line = f"{name}({', '.join(parts)}){answer}"
    return (
        line if len(line) <= 100 else f"{name}(\n" + "".join(f"    {one},\n" for one in parts) + f"){answer}"
    )


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(
        r"\b(?:varsel\.client\.(?:testing\.)?_\w+|answers|typing|datetime|collections\.abc|uuid)\.", "", text
    )
    return re.sub(r"Flow\[(.*)\]$", r"\1", text).strip("'\"")


def _default(value: Any) -> str:
    if isinstance(value, str | int | float | bool | tuple | None):
        return repr(value)
    return "…"


def _members(thing: type) -> list[tuple[str, Any]]:
    found: dict[str, Any] = {}
    for base in reversed(thing.__mro__):
        if base.__module__.startswith("varsel."):
            found |= vars(base)
    return [(name, one) for name, one in found.items() if not name.startswith("_") and _is_told(one)]


def _is_told(one: Any) -> bool:
    return isinstance(one, property | classmethod | staticmethod) or inspect.isfunction(one)


def _member(name: str, one: Any) -> str:
    if isinstance(one, property):
        words = inspect.cleandoc(one.__doc__ or "")
        answer = _type(getattr(one.fget, "__annotations__", {}).get("return", ""))
        return f"- `{name}`" + (f" → `{answer}`" if answer else "") + (f": {_line(words)}" if words else "")
    whole = one.__func__ if isinstance(one, classmethod | staticmethod) else one
    return _told(name, _signature(whole), whole.__doc__)


def _told(name: str, signature: str, words: str | None) -> str:
    short = re.sub(r"\(\s+", "(", re.sub(r",\n\)", ")", signature))
    short = " ".join(short.split())
    return f"- `{name}{short}`" + (f": {_line(inspect.cleandoc(words))}" if words else "")


def _line(words: str) -> str:
    return " ".join(words.split())


def _words(thing: Any) -> str:
    own = thing.__doc__ if not inspect.isclass(thing) or "__doc__" in vars(thing) else None
    if own is None or own.startswith(f"{getattr(thing, '__name__', '')}("):
        return ""
    # Arguments are told as `name: words` at the beginning of a line.
    return re.sub(r"^(\w+): ", r"- `\1`: ", inspect.cleandoc(own), flags=re.MULTILINE)


def environments() -> str:
    rows = "".join(
        f"| `{name}` | `{one.notifications}` | `{one.maskinporten}` | `{one.idporten}` | `{one.self_service}` "
        f"| {f'`{one.apps}`' if one.apps else ''} |\n"
        for name, one in client.ENVIRONMENTS.items()
    )
    return (
        '`ENVIRONMENTS` by name; any other Varsel by its address: `environment="https://varsel.example.org"`.\n\n'
        f"| name | Notifications API | Maskinporten | ID-porten | self-service | apps |\n|---|---|---|---|---|---|\n{rows}"
    )


def errors() -> str:
    tree = inspect.cleandoc(_errors.__doc__ or "")
    head, _, drawn = tree.partition("\n\n")
    return f"{head}\n\n```text\n{drawn}\n```\n"


def fixtures() -> str:
    rows = []
    for name in ("varsel_memory", "varsel_sandbox", "varsel_inbox"):
        words = getattr(pytest_plugin, name)
        words = (
            getattr(words, "__wrapped__", words).__doc__ or getattr(words, "_fixture_function", words).__doc__
        )
        rows.append(f"| `{name}` | {_line(inspect.cleandoc(words))} |\n")
    return "pytest finds them by itself where Varsel is installed.\n\n| fixture | |\n|---|---|\n" + "".join(
        rows
    )


def main(folder: str) -> None:
    importlib.import_module("varsel.client")
    Path(folder, "sdk.md").write_text(page(), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
