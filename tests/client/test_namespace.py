"""What `varsel.client` shows, and what it does not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import varsel.client
import varsel.client.testing

PUBLIC = ["ENVIRONMENTS", "AltinnTokens", "ApiError", "AsyncNotifications", "AsyncSelfService", "Attachment", "Attempt", "AzureKeyVault", "CallableCursor", "ClassicEmailOrder", "ClassicOrder", "ClassicReceipt", "ClassicRecipient", "ClassicSmsOrder", "ClientError", "Clock", "ClockSkew", "ComposedEmail", "ConfigurationError", "Conflict", "ContentType", "Credentials", "CursorStore", "DailyFile", "Delivery", "Dialog", "DryRun", "Email", "EmailAndSms", "EmailOnly", "EmailPreferred", "EmailTemplate", "Environment", "ExchangeRefused", "FeedEntry", "FileCursor", "FileSecrets", "Finding", "Forbidden", "ForwardedToken", "Http", "IdPorten", "InstantEmail", "InstantSms", "Integration", "InvalidOrder", "InvalidRequest", "KeyExpired", "KeyRefused", "KeySet", "LogEntry", "LoginRefused", "Maskinporten", "MaskinportenRefused", "MemoryCursor", "MessageResult", "MissingServiceOwner", "NotDelegated", "NotFinal", "NotFound", "Notifications", "Order", "OrderStatus", "PlatformToken", "ProcessingStatus", "Receipt", "RecipientLookup", "RecipientUnreachable", "Reminder", "ReminderReceipt", "Results", "ScopeAccess", "ScopeNotGranted", "ScopeNotRegistered", "SecretLoader", "SelfService", "SendStatus", "SendingTime", "ServerError", "Shipment", "Signer", "SignerCallback", "SigningKey", "Sms", "SmsOnly", "SmsPreferred", "SmsTemplate", "StatusSummary", "StoredOrder", "Summary", "SupportEntry", "TemporarilyDown", "TimedOut", "ToEmail", "ToIdentity", "ToOrganization", "ToPerson", "ToPhone", "Token", "TokenError", "TooManyRequests", "TransportError", "Unauthorized", "UnexpectedAnswer", "Webhook", "WebhookAttempt", "diagnose", "environment", "load_settings"]  # fmt: skip


def test_public_names_are_pinned():
    assert sorted(varsel.client.__all__) == sorted(PUBLIC)
    assert sorted(dir(varsel.client)) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there(name):
    assert getattr(varsel.client, name) is not None


def test_testing_names_are_pinned():
    assert varsel.client.testing.__all__ == [
        "Inbox",
        "ManualClock",
        "Memory",
        "Message",
        "Recorded",
        "Sandbox",
        "SandboxError",
    ]


def test_type_checkers_and_python_find_the_same_names():
    tree = ast.parse(Path(varsel.client.__file__).read_text("utf-8"))
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    assert seen == varsel.client._HOME


def test_testing_names_are_found_by_type_checkers_too():
    tree = ast.parse(Path(varsel.client.testing.__file__).read_text("utf-8"))
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    assert seen == varsel.client.testing._HOME
    assert dir(varsel.client.testing) == sorted(seen)
    assert all(getattr(varsel.client.testing, name) for name in seen)


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="nonsense"):
        varsel.client.nonsense  # noqa: B018
    with pytest.raises(AttributeError, match="nonsense"):
        varsel.client.testing.nonsense  # noqa: B018


def test_the_package_is_typed():
    assert Path(varsel.client.__file__).parents[1].joinpath("py.typed").is_file()


def _loaded(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_client_loads_nothing_of_the_server_and_no_http_before_the_first_request():
    names = ", ".join(PUBLIC)
    loaded = _loaded(f"from varsel.client import {names}")
    heavy = {"httpx2", "joserfc", "cryptography", "starlette", "uvicorn", "asyncpg", "aiohttp", "webbrowser"}
    assert not heavy & loaded
    rooms = {
        "orders",
        "recipients",
        "delivery",
        "channels",
        "review",
        "identity",
        "console",
        "sandbox",
        "store",
        "runtime",
    }
    assert not {f"varsel.{room}" for room in rooms} & loaded


def test_importing_is_quick():
    # Processor time, so that a busy machine does not count.
    code = "import time; a = time.process_time(); import varsel.client; print(time.process_time() - a)"
    best = min(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(5)
    )
    assert best < 0.15


def test_the_plugin_does_not_load_the_client():
    assert "varsel.client" not in _loaded("import varsel.pytest_plugin")


def test_sdk_and_callers_commands_work_without_the_platform():
    """As after `pip install varsel`: none of the packages that the extra `server` brings can be imported."""
    code = """
import importlib, importlib.metadata as metadata, re, sys
server = [one for one in metadata.requires("varsel") if 'extra == "server"' in one or "extra == 'server'" in one]
names = {re.split("[^A-Za-z0-9_-]", one)[0].replace("-", "_").lower() for one in server} - {"idna"}  # httpx2 brings that one too
assert {"asyncpg", "starlette", "uvloop"} <= names
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].lower() in names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import varsel.client.testing, varsel.pytest_plugin
from varsel.cli.callers import CALLER_COMMANDS
from varsel.cli.main import build, run
for command in CALLER_COMMANDS:
    module, _, name = command.where.partition(":")
    getattr(importlib.import_module(module), name)
assert "rotate" in build().generate_completion(shell="bash")
assert run(["settings"]) == 0
assert run(["worker"]) == 1
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pip install 'varsel[server]'" in done.stderr
