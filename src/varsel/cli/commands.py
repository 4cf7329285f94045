"""Every command of `varsel` with its sentence and examples: the help, the documentation and their tests read this table.

Modules are named as text and imported when their command is called, so that `varsel --help` stays quick.
"""

from __future__ import annotations

from typing import Final

from varsel.cli.callers import CALLER_COMMANDS, CALLER_GROUPS
from varsel.cli.command import Command

#: Groups and their sentences.
GROUPS: Final[dict[str, str]] = {
    "db": "Look after the database schema.",
    "sandbox": "Move the world of a running sandbox.",
    "sandbox clock": "Move the calendar of a running sandbox: send times, reminders, expiry and retention follow it.",
    "contacts": "Fill the built-in contact register.",
    "reports": "Look after provider reports that found no message or were not understood.",
    "owner": "Service owners: who may order notifications.",
    "member": "People who may log in to the portal and the console.",
    "issuer": "Issuers of platform access tokens and their certificates.",
    "signing-key": "Keys that this installation's own issuers sign tokens with.",
    "dev": "Shortcuts for development against a sandbox.",
    **CALLER_GROUPS,
}

COMMANDS: Final[tuple[Command, ...]] = (
    Command(
        "up",
        "varsel.cli.up:up",
        "Start everything on this machine: database, API, identity, web and workers.",
        (
            "varsel up --sandbox",
            "varsel up --port 8080 --data /srv/varsel",
            "VARSEL_DATABASE_URL=postgresql://varsel@db/varsel varsel up --host 0.0.0.0",
        ),
    ),
    Command(
        "demo",
        "varsel.cli.demo:demo",
        "Show messages all the way from the key to the reminder, and what may become of them, over real HTTP against a sandbox of its own.",
        ("varsel demo", "varsel demo --exit", "varsel demo --port 0 --data /tmp/tour"),
    ),
    Command(
        "api",
        "varsel.cli.role:api",
        "Serve the Notifications API alone, on the database of VARSEL_DATABASE_URL.",
        ("varsel api --port 5090", "varsel api --host 0.0.0.0"),
    ),
    Command(
        "identity",
        "varsel.cli.role:identity",
        "Serve tokens, keys and self-service alone, on the database of VARSEL_DATABASE_URL.",
        ("varsel identity --port 5091",),
    ),
    Command(
        "web",
        "varsel.cli.role:web",
        "Serve the console and the portal alone, on the database of VARSEL_DATABASE_URL.",
        ("varsel web --port 5092",),
    ),
    Command(
        "worker",
        "varsel.cli.role:worker",
        "Process orders and send messages alone, on the database of VARSEL_DATABASE_URL.",
        ("varsel worker",),
    ),
    Command(
        "db migrate",
        "varsel.cli.database:migrate",
        "Bring the schema up to this program; safe beside a running Varsel of the previous version.",
        ("varsel db migrate",),
    ),
    Command(
        "db status",
        "varsel.cli.database:status",
        "Tell which migrations are applied and which are pending.",
        ("varsel db status", "varsel db status --data /srv/varsel"),
    ),
    Command(
        "sandbox clock advance",
        "varsel.cli.clock:advance",
        "Move the calendar forward.",
        ("varsel sandbox clock advance 7d", "varsel sandbox clock advance 1d12h30m"),
    ),
    Command(
        "sandbox clock show",
        "varsel.cli.clock:show",
        "Tell what day and time it is in the sandbox.",
        ("varsel sandbox clock show",),
    ),
    Command(
        "sandbox clock reset",
        "varsel.cli.clock:reset",
        "Set the calendar back to this machine's time, after saying what lies in the future.",
        ("varsel sandbox clock reset", "varsel sandbox clock reset --yes"),
    ),
    Command(
        "contacts import",
        "varsel.cli.contacts:load",
        "Read synthetic contacts from a file of JSON lines; they count at once.",
        ("varsel contacts import people.jsonl", "varsel contacts import - < people.jsonl"),
    ),
    Command(
        "reports list",
        "varsel.cli.reports:listed",
        "List reports that wait for an operator: without a message, not understood, or not readable.",
        (
            "varsel reports list",
            "varsel reports list --provider link --reason RETRY_THRESHOLD_EXCEEDED",
            "varsel reports list --waiting --json",
        ),
    ),
    Command(
        "reports show",
        "varsel.cli.reports:show",
        "Print a report as the provider sent it; it may hold the recipient's number.",
        ("varsel reports show 019c9e2e-8d4e-7cc2-b1a5-2f1f0f8d6c3a",),
    ),
    Command(
        "reports words",
        "varsel.cli.reports:words",
        "Tell what providers said lately and what it was taken for; words that no table has are marked.",
        ("varsel reports words", "varsel reports words --days 30"),
    ),
    Command(
        "reports retry",
        "varsel.cli.reports:retry",
        "Let dead reports look for their message again; --as says what a word means that nobody understood.",
        (
            "varsel reports retry --all",
            "varsel reports retry 019c9e2e-8d4e-7cc2-b1a5-2f1f0f8d6c3a",
            "varsel reports retry 019c9e2e-8d4e-7cc2-b1a5-2f1f0f8d6c3a --as Failed",
        ),
    ),
    Command(
        "reports drop",
        "varsel.cli.reports:drop",
        "Take reports from the list for good; what came stays stored until its retention is over.",
        (
            "varsel reports drop 019c9e2e-8d4e-7cc2-b1a5-2f1f0f8d6c3a",
            "varsel reports drop --all --reason MALFORMED",
        ),
    ),
    Command(
        "owner add",
        "varsel.cli.tenants:owner_add",
        "Register a service owner, who may order notifications from then on; the same code again changes the names.",
        ('varsel owner add skd 974761076 Skatteetaten --english "The Norwegian Tax Administration"',),
    ),
    Command(
        "owner list",
        "varsel.cli.tenants:owner_list",
        "List the service owners.",
        ("varsel owner list", "varsel owner list --json"),
    ),
    Command(
        "owner prefix",
        "varsel.cli.tenants:owner_prefix",
        "Hand out a scope prefix, once and for good; its holder makes scopes under it.",
        ("varsel owner prefix skd 974761076",),
    ),
    Command(
        "member add",
        "varsel.cli.tenants:member_add",
        "Invite a person to act for an organisation, or to operate the platform.",
        (
            "varsel member add 17849012320 --organisation 974761076 --name Kari",
            "varsel member add 17849012320",
        ),
    ),
    Command(
        "member list",
        "varsel.cli.tenants:member_list",
        "List who may log in, and as what.",
        ("varsel member list",),
    ),
    Command(
        "member remove",
        "varsel.cli.tenants:member_remove",
        "Take a role back from a person.",
        ("varsel member remove 17849012320 --organisation 974761076",),
    ),
    Command(
        "issuer add",
        "varsel.cli.tenants:issuer_add",
        "Let an issuer sign platform access tokens with a certificate.",
        ("varsel issuer add ttd app.pem", "varsel issuer add platform component.pem --trusted"),
    ),
    Command(
        "issuer list",
        "varsel.cli.tenants:issuer_list",
        "List the certificates of platform issuers.",
        ("varsel issuer list",),
    ),
    Command(
        "issuer withdraw",
        "varsel.cli.tenants:issuer_withdraw",
        "Let platform tokens of an issuer, or of one of its certificates, count no more.",
        ("varsel issuer withdraw ttd",),
    ),
    Command(
        "signing-key list",
        "varsel.cli.signing_keys:signing_key_list",
        "List the keys that sign tokens, or did, or will.",
        ("varsel signing-key list",),
    ),
    Command(
        "signing-key rotate",
        "varsel.cli.signing_keys:signing_key_rotate",
        "Bring in a new key before the 90 days are over; it is shown for 48 hours before it signs.",
        ("varsel signing-key rotate altinn",),
    ),
    Command(
        "signing-key withdraw",
        "varsel.cli.signing_keys:signing_key_withdraw",
        "Let nothing count that a leaked key has signed; a new key signs at once.",
        ("varsel signing-key withdraw 723C3A3159D5C3B26198119C770D92619FDC687D",),
    ),
    Command(
        "dev token",
        "varsel.cli.dev:token",
        "Print a token that the running sandbox accepts; it stands alone on the last line.",
        (
            "varsel dev token --org ttd",
            "varsel dev token --scope altinn:serviceowner/notifications.create --expires-in 60",
            "varsel dev token --person 05887899891",
        ),
    ),
    Command(
        "settings",
        "varsel.cli.settings_table:settings",
        "List every setting with its type, its default and one sentence.",
        ("varsel settings",),
    ),
    *CALLER_COMMANDS,
)

#: Exit codes, as documented in docs/reference/cli.md.
EXIT_CODES: Final[dict[int, str]] = {
    0: "done",
    1: "it cannot be done here; the sentence on standard error says why",
    2: "the command line or a setting is wrong",
    3: "the database, or something else Varsel depends on, does not answer",
    4: "something did not happen in time",
    70: "a fault in Varsel; --debug shows where",
    130: "interrupted",
}
