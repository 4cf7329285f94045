"""The settings table: every setting of Varsel with its type, default and one sentence.

The table feeds loading (varsel.runtime.settings_sources), `varsel settings`, the documentation and its test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from varsel.runtime.errors import SettingsError
from varsel.runtime.setting_kinds import PREFIX, Setting, parse

SETTINGS: Final[tuple[Setting, ...]] = (
    # Where things are
    Setting(
        "public_url",
        "url",
        "",
        "Public base of links, issuers and metadata, without a trailing slash; default http://127.0.0.1:<port>.",
    ),
    Setting("port", "port", 5090, "Port of the public HTTP listener."),
    Setting(
        "host",
        "text",
        "127.0.0.1",
        "Address the public HTTP listener binds; the sandbox always binds 127.0.0.1.",
    ),
    Setting(
        "internal_port",
        "port",
        0,
        "Port of the internal listener for triggers, metrics pages and internal sends; 0 serves none.",
    ),
    Setting("internal_host", "text", "127.0.0.1", "Address the internal listener binds."),
    Setting(
        "internal_secret",
        "secret",
        "",
        "When set, internal endpoints ask for it in the header X-Varsel-Internal.",
    ),
    Setting("data", "text", "", "Data directory; default $XDG_DATA_HOME/varsel, as root /var/lib/varsel."),
    Setting(
        "environment", "text", "Unknown", "Name of this environment, as the daily metrics files carry it."
    ),
    Setting(
        "database_url",
        "secret",
        "",
        "PostgreSQL to use; empty runs the embedded server in the data directory.",
    ),
    Setting(
        "database_direct_url",
        "secret",
        "",
        "PostgreSQL without the transaction pooler that stands at VARSEL_DATABASE_URL; for LISTEN and migrations.",
    ),
    Setting("database_pool", "number", 10, "Connections of one process to the database.", least=2),
    Setting(
        "master_key_file",
        "text",
        "",
        "File with the master key that encrypts secrets at rest; default <data>/master.key, made when absent.",
    ),
    Setting("workers", "number", 1, "Worker processes that `varsel up` starts."),
    Setting("api_processes", "number", 1, "HTTP processes that `varsel up` starts.", least=1),
    Setting("stop_seconds", "seconds", 20, "How long a stopping process may finish what is in hand."),
    # Logs and metrics
    Setting(
        "log_level", "choice", "info", "Least level that is logged.", ("debug", "info", "warning", "error")
    ),
    Setting(
        "log_format",
        "choice",
        "auto",
        "Lines for people or JSON for programs; auto chooses people on a terminal.",
        ("auto", "text", "json"),
    ),
    Setting("access_log", "flag", False, "Logs one line for every HTTP request."),
    Setting("metrics_api_key", "secret", "", "Key of the daily metrics files (header X-API-Key)."),
    # Providers
    Setting(
        "email_url",
        "secret",
        "",
        "E-mail providers in order of use, separated by spaces (smtp://, smtps://, smtp+starttls://, acs://).",
    ),
    Setting(
        "sms_url",
        "secret",
        "",
        "SMS providers in order of use, separated by spaces (link+https://, link+http://).",
    ),
    Setting(
        "sms_report_user",
        "text",
        "",
        "User name of the gateway's delivery reports; no default outside the sandbox.",
    ),
    Setting(
        "sms_report_password",
        "secret",
        "",
        "Password of the gateway's delivery reports; no default outside the sandbox.",
    ),
    Setting(
        "email_report_secret",
        "secret",
        "",
        "Shared secret of the e-mail provider's delivery reports (header X-Varsel-Report-Secret, or code in the query); empty refuses them.",
    ),
    Setting("sandbox_real_sending", "flag", False, "Lets a sandbox use providers beyond loopback."),
    Setting(
        "default_email_from", "text", "noreply@altinn.cloud", "Sender of e-mail when the order names none."
    ),
    Setting("default_sms_sender", "text", "Altinn", "Sender of SMS when the order names none."),
    Setting(
        "email_settle",
        "seconds",
        900,
        "How long an accepted e-mail without a bounce waits until it counts as Delivered.",
    ),
    Setting(
        "email_unknown",
        "choice",
        "resend",
        "What becomes of an e-mail whose handoff cannot be known.",
        ("resend", "hold"),
    ),
    Setting(
        "sms_unknown",
        "choice",
        "hold",
        "What becomes of an SMS whose handoff cannot be known.",
        ("hold", "resend"),
    ),
    Setting(
        "unknown_settle_seconds",
        "seconds",
        60,
        "When an unknown handoff without evidence is settled by rule.",
    ),
    Setting("smtp_connections", "number", 16, "Connections a worker keeps to one SMTP server.", least=1),
    Setting(
        "pace",
        "list",
        "",
        "Most messages a second over all workers, as NAME=NUMBER: a provider (smtp:mail.example.org:25=200), a recipient domain "
        "(@example.org=20) or each domain not named (@*=50).",
    ),
    Setting(
        "bounce_domain",
        "text",
        "",
        "Domain of the bounce addresses; empty uses the sender as envelope sender.",
    ),
    Setting(
        "bounce_port",
        "port",
        0,
        "Port of the SMTP listener that takes bounces to VARSEL_BOUNCE_DOMAIN; 0 opens none outside the sandbox.",
    ),
    Setting("bounce_host", "text", "127.0.0.1", "Address the bounce listener binds."),
    Setting(
        "bounce_mailbox",
        "secret",
        "",
        "IMAP mailbox that mail to VARSEL_BOUNCE_DOMAIN arrives in, read once a minute (imaps://user:password@host/INBOX, "
        "imap+starttls://); empty reads none.",
    ),
    Setting("dkim_domain", "text", "", "Domain in whose name e-mail is signed; empty signs nothing."),
    Setting("dkim_selector", "text", "varsel", "DKIM selector."),
    Setting("dkim_key", "secret", "", "Private DKIM key, PEM."),
    Setting(
        "sms_too_long",
        "choice",
        "send",
        "What becomes of an SMS of more than the gateway's 16 parts.",
        ("send", "refuse"),
    ),
    # Rules
    Setting("sms_window_start", "number", 9, "Hour, Oslo time, at which daytime SMS may begin."),
    Setting("sms_window_end", "number", 17, "Hour, Oslo time, at which daytime SMS must end."),
    Setting(
        "sms_window_weekdays_only",
        "flag",
        False,
        "Leaves weekends and Norwegian holidays out of the daytime window.",
    ),
    Setting(
        "stale_contact_creators",
        "list",
        "",
        "Creators whose person recipients always use stale contact details.",
    ),
    Setting(
        "blob_hosts",
        "list",
        ".blob.core.windows.net",
        "Host suffixes that may hold the files of composed e-mail.",
    ),
    Setting("expiry_grace", "seconds", 300, "How long after its expiry a message may still get its report."),
    Setting("condition_timeout", "seconds", 10, "How long a send condition may take to answer."),
    Setting(
        "retry_seconds",
        "seconds",
        60,
        "Delay before an inconclusive condition or a failed register is asked again.",
    ),
    Setting(
        "authorization_batch",
        "number",
        500,
        "Pairs of user and organization in one authorization request.",
        least=1,
    ),
    Setting("feed_max_page", "number", 500, "Largest page of the status feed.", least=1),
    Setting("keep_feed_days", "number", 90, "Days a feed entry is kept."),
    Setting("keep_text_days", "number", 30, "Days texts are kept after an order ended."),
    Setting(
        "keep_identity_days", "number", 90, "Days identifiers and addresses are kept after an order ended."
    ),
    Setting(
        "keep_order_days",
        "number",
        1095,
        "Days orders and their messages are kept after the last order of their month ended; 0 keeps them for ever.",
    ),
    Setting(
        "keep_audit_days",
        "number",
        1095,
        "Days the audit trail is kept, by whole months; 0 keeps it for ever.",
    ),
    Setting("dry_run_rate", "number", 120, "Dry runs of orders that one creator may make in a minute."),
    # Registers
    Setting("profile_url", "url", "", "Base of the Profile register; empty uses the built-in contacts."),
    Setting("register_url", "url", "", "Base of the Register for names; empty uses the built-in contacts."),
    Setting(
        "authorization_url",
        "url",
        "",
        "Base of the authorization decision point; empty uses the built-in contacts.",
    ),
    Setting("authorization_key", "secret", "", "Subscription key of the authorization decision point."),
    # Identity
    Setting(
        "identity_mode",
        "choice",
        "builtin",
        "Who issues tokens (identity reference, section 11).",
        ("builtin", "external", "altinn"),
    ),
    Setting("altinn_issuer", "url", "", "Trusted issuer of Altinn tokens in mode altinn."),
    Setting("maskinporten_issuer", "url", "", "Trusted Maskinporten in mode external."),
    Setting("idporten_issuer", "url", "", "OpenID provider for people; empty uses the built-in one."),
    Setting("idporten_client_id", "text", "", "Client at the external OpenID provider."),
    Setting("idporten_client_secret", "secret", "", "Its secret."),
    Setting(
        "client_environment",
        "choice",
        "test",
        "Which integrations this installation serves.",
        ("test", "production"),
    ),
    Setting(
        "strict_imitation",
        "flag",
        True,
        "Answers 401 and 403 without headers and bodies, exactly as the public API.",
    ),
    Setting(
        "token_cookie", "text", "AltinnStudioRuntime", "Cookie that may carry the Altinn token of a browser."
    ),
    Setting(
        "strict_grants",
        "flag",
        False,
        "Refuses token grants with claims that the identity reference does not name.",
    ),
    Setting(
        "enterprise_ca_file",
        "text",
        "",
        "PEM file of the issuers whose enterprise certificates may sign grants; empty trusts none.",
    ),
    Setting("require_jti", "flag", True, "Demands jti in token grants."),
    Setting(
        "token_rate", "number", 6000, "Token requests a minute from one address or client; 0 sets no limit."
    ),
    # Sandbox
    Setting("smtp_inbox_port", "port", 2525, "Port of the sandbox's SMTP inbox; 0 takes a free one."),
    Setting(
        "sms_gateway_port", "port", 0, "Port of the sandbox's SMS gateway simulator; 0 takes a free one."
    ),
    Setting("file_host_port", "port", 0, "Port of the sandbox's blob host; 0 takes a free one."),
    Setting(
        "acs_port",
        "port",
        0,
        "Port of the sandbox's simulator of Azure Communication Services, which then takes the e-mail; 0 opens none.",
    ),
    Setting(
        "register_port",
        "port",
        0,
        "Port of the sandbox's simulator of Profile, Register and authorization, which then are asked over HTTP; 0 opens none.",
    ),
)

BY_NAME: Final[Mapping[str, Setting]] = {setting.name: setting for setting in SETTINGS}


class Settings:
    """Parsed settings as attributes, read-only. `Settings(port=0, …)` in tests; `load()` in programs."""

    # Typed here for readers and mypy; the table above is what rules.
    public_url: str
    port: int
    host: str
    internal_port: int
    internal_host: str
    internal_secret: str
    data: str
    environment: str
    database_url: str
    database_direct_url: str
    database_pool: int
    master_key_file: str
    workers: int
    api_processes: int
    stop_seconds: float
    log_level: str
    log_format: str
    access_log: bool
    metrics_api_key: str
    email_url: str
    sms_url: str
    sms_report_user: str
    sms_report_password: str
    email_report_secret: str
    sandbox_real_sending: bool
    default_email_from: str
    default_sms_sender: str
    email_settle: float
    email_unknown: str
    sms_unknown: str
    unknown_settle_seconds: float
    smtp_connections: int
    pace: tuple[str, ...]
    bounce_domain: str
    bounce_port: int
    bounce_host: str
    bounce_mailbox: str
    dkim_domain: str
    dkim_selector: str
    dkim_key: str
    sms_too_long: str
    sms_window_start: int
    sms_window_end: int
    sms_window_weekdays_only: bool
    stale_contact_creators: tuple[str, ...]
    blob_hosts: tuple[str, ...]
    expiry_grace: float
    condition_timeout: float
    retry_seconds: float
    authorization_batch: int
    feed_max_page: int
    keep_feed_days: int
    keep_text_days: int
    keep_identity_days: int
    keep_order_days: int
    keep_audit_days: int
    dry_run_rate: int
    profile_url: str
    register_url: str
    authorization_url: str
    authorization_key: str
    identity_mode: str
    altinn_issuer: str
    maskinporten_issuer: str
    idporten_issuer: str
    idporten_client_id: str
    idporten_client_secret: str
    client_environment: str
    strict_imitation: bool
    token_cookie: str
    require_jti: bool
    strict_grants: bool
    enterprise_ca_file: str
    token_rate: int
    smtp_inbox_port: int
    sms_gateway_port: int
    file_host_port: int
    acs_port: int
    register_port: int

    def __init__(self, **given: Any) -> None:
        for name in given:
            if name not in BY_NAME:
                raise SettingsError(f"{PREFIX}{name.upper()} is not a setting; `varsel settings` lists them.")
        for setting in SETTINGS:
            raw = given.get(setting.name, setting.default)
            object.__setattr__(self, setting.name, parse(setting, raw))
        for part in (BY_NAME["keep_text_days"], BY_NAME["keep_identity_days"]):
            # An order that goes takes its texts and recipients with it.
            if 0 < self.keep_order_days < getattr(self, part.name):
                raise SettingsError(
                    f"VARSEL_KEEP_ORDER_DAYS ({self.keep_order_days}) must be 0 or at least {part.variable} "
                    f"({getattr(self, part.name)})."
                )

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("settings are read-only")

    def replace(self, **changes: Any) -> Settings:
        """A copy with some values changed."""
        return Settings(**{**{name: getattr(self, name) for name in BY_NAME}, **changes})

    @property
    def base_url(self) -> str:
        """Public base of links, without a trailing slash."""
        return self.public_url.rstrip("/") or f"http://127.0.0.1:{self.port}"
