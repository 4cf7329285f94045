"""The commands of callers: keys, tokens, orders, the feed. They need the SDK alone, not the platform."""

from __future__ import annotations

from typing import Final

from varsel.cli.command import Command

CALLER_GROUPS: Final[dict[str, str]] = {
    "jwk": "Make and look at the keys of integrations; they never leave this machine.",
    "order": "Order notifications, and cancel them.",
    "shipment": "See what became of an order.",
    "inbox": "Look into the inbox of a running sandbox.",
    "integration": "Register integrations and their keys in the self-service API.",
    "integration keys": "The public keys of an integration.",
    "profile": "Remember environments and credentials by name.",
}

CALLER_COMMANDS: Final[tuple[Command, ...]] = (
    Command(
        "jwk new",
        "varsel.cli.jwk:new",
        "Make a key for an integration and write its private half to a file that only you can read.",
        (
            "varsel jwk new acme-varsel-2026-07 --out key.json",
            "varsel jwk new acme --bits 4096 --out key.json",
        ),
    ),
    Command(
        "jwk public",
        "varsel.cli.jwk:public",
        "Print the public half of a key, as the self-service portal takes it.",
        ("varsel jwk public key.json",),
    ),
    Command(
        "jwk encode",
        "varsel.cli.jwk:encode",
        "Print a private key as the setting EncodedJwk; what is printed is a secret.",
        ("varsel jwk encode key.json",),
    ),
    Command(
        "jwk check",
        "varsel.cli.jwk:check",
        "Tell what is wrong with a private key, without showing it.",
        ("varsel jwk check key.json", "varsel jwk check - < encoded.txt"),
    ),
    Command(
        "token",
        "varsel.cli.token:token",
        "Fetch an Altinn token by your integration, or print that of a login; it stands alone on the last line.",
        (
            "varsel token --env tt02",
            "varsel token --decode",
            "varsel token --person",
            "varsel token --maskinporten --scope idporten:dcr.read",
        ),
    ),
    Command(
        "doctor",
        "varsel.cli.token:doctor",
        "Find out step by step what stands between your integration and its first order.",
        ("varsel doctor", "varsel doctor --profile tt02"),
    ),
    Command(
        "login",
        "varsel.cli.login:login",
        "Log in as a person through the browser (ID-porten) and keep the token until it ends.",
        ("varsel login", "varsel login --client-id 5b7d4e9f --env tt02 --scope altinn:enduser"),
    ),
    Command(
        "platform-token",
        "varsel.cli.platform_token:platform_token",
        "Make a platform access token with a certificate; it stands alone on the last line.",
        ("varsel platform-token ttd --app my-app --certificate cert.pem --key key.pem",),
    ),
    Command(
        "order email",
        "varsel.cli.orders:email",
        "Order an e-mail to one address.",
        (
            'varsel order email kari@example.org --subject "Ny melding" --body "Logg inn for å lese."',
            "varsel order email kari@example.org --subject Hei --body @letter.html --html --remind 7 --wait",
            "varsel order email kari@example.org --subject Hei --body @letter.html --html --dry-run",
        ),
    ),
    Command(
        "order sms",
        "varsel.cli.orders:sms",
        "Order an SMS to one number.",
        (
            'varsel order sms +4799999999 --body "Du har en ny melding."',
            'varsel order sms +4799999999 --body "Engangskode: 482913" --instant',
        ),
    ),
    Command(
        "order person",
        "varsel.cli.orders:person",
        "Order a notification to a person, found by national identity number.",
        (
            'varsel order person 12839010182 --subject "Ny melding" --body "Logg inn." --sms "Du har en ny melding."',
            'varsel order person 12839010182 --sms "Du har en ny melding." --ignore-reservation',
        ),
    ),
    Command(
        "order org",
        "varsel.cli.orders:org",
        "Order a notification to an organisation.",
        ('varsel order org 312345609 --subject "Ny melding" --body "Logg inn."',),
    ),
    Command(
        "order identity",
        "varsel.cli.orders:identity",
        "Order a notification to a self-identified user.",
        (
            'varsel order identity urn:altinn:person:idporten-email:kari@example.org --subject "Ny melding" --body "Logg inn."',
        ),
    ),
    Command(
        "order composed",
        "varsel.cli.orders:composed",
        "Order an e-mail with attachments that lie in a blob store.",
        (
            'varsel order composed kari@example.org --subject Vedtak --body "Vedtaket ligger ved." --attach @address.txt',
            "varsel order composed kari@example.org --subject Vedtak --body @letter.html --html --attach vedtak.pdf=@address.txt",
        ),
    ),
    Command(
        "order cancel",
        "varsel.cli.orders:cancel",
        "Cancel a shipment, or a whole order with its reminders, while nothing of it has left.",
        (
            "varsel order cancel c1f0a1b2-90d7-4b53-8f3d-4f2b6c7d8e91",
            "varsel order cancel 7a1d2f0c-5b7f-4c44-9a0e-0c5f3a1b2d90 --chain",
        ),
    ),
    Command(
        "shipment show",
        "varsel.cli.shipment:show",
        "Show where a shipment and each of its messages stand.",
        (
            "varsel shipment show c1f0a1b2-90d7-4b53-8f3d-4f2b6c7d8e91",
            "varsel shipment show c1f0a1b2-90d7-4b53-8f3d-4f2b6c7d8e91 --wait --json",
        ),
    ),
    Command(
        "feed",
        "varsel.cli.feed:feed",
        "List orders that have come to their end, oldest first.",
        ("varsel feed --after 4711", "varsel feed --follow --cursor feed.cursor --json"),
    ),
    Command(
        "inbox list",
        "varsel.cli.inbox:listed",
        "List the messages that the sandbox received.",
        ("varsel inbox list", "varsel inbox list --to kari@example.org --json"),
    ),
    Command(
        "inbox show",
        "varsel.cli.inbox:show",
        "Show one message; the newest when no id is given.",
        ("varsel inbox show", "varsel inbox show 0197f1c2-90d7-7b53-8f3d-4f2b6c7d8e91"),
    ),
    Command(
        "inbox open",
        "varsel.cli.inbox:opened",
        "Open the inbox in the browser.",
        ("varsel inbox open",),
    ),
    Command(
        "integration list",
        "varsel.cli.integration:listed",
        "List your organisation's integrations.",
        ("varsel integration list", "varsel integration list --inactive --json"),
    ),
    Command(
        "integration create",
        "varsel.cli.integration:create",
        "Register an integration, with the public half of a key when one is named.",
        (
            "varsel integration create acme-varsel --key key.json",
            "varsel integration create acme-varsel --scope altinn:serviceowner/notifications.create",
        ),
    ),
    Command(
        "integration show",
        "varsel.cli.integration:show",
        "Show one integration.",
        ("varsel integration show 0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b",),
    ),
    Command(
        "integration deactivate",
        "varsel.cli.integration:deactivate",
        "Take an integration out of use; it is not erased.",
        ("varsel integration deactivate 0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b",),
    ),
    Command(
        "integration keys list",
        "varsel.cli.integration:keys",
        "List the public keys of an integration and when they end.",
        ("varsel integration keys list 0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b",),
    ),
    Command(
        "integration keys add",
        "varsel.cli.integration:add_key",
        "Register the public half of a key beside those there; the same one again renews it.",
        ("varsel integration keys add 0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b key.json",),
    ),
    Command(
        "integration keys remove",
        "varsel.cli.integration:remove_key",
        "Take a public key away.",
        ("varsel integration keys remove 0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b acme-varsel-2026-07",),
    ),
    Command(
        "integration keys rotate",
        "varsel.cli.rotation:rotate",
        "Make a new key, register it, see that it gives a token, and then take old ones away.",
        (
            "varsel integration keys rotate 0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b",
            "varsel integration keys rotate 0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b --kid acme-2027 --replace acme-2026",
        ),
    ),
    Command(
        "profile add",
        "varsel.cli.profiles:add",
        "Remember an environment with the credentials for it; the key goes to the keyring or a file of mode 0600.",
        (
            "varsel profile add tt02 --env tt02 --client-id 0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b --key key.json",
            "varsel profile add sandbox --env http://127.0.0.1:5090",
        ),
    ),
    Command("profile list", "varsel.cli.profiles:listed", "List the profiles.", ("varsel profile list",)),
    Command(
        "profile use",
        "varsel.cli.profiles:use",
        "Choose the profile that counts when none is named.",
        ("varsel profile use tt02",),
    ),
    Command(
        "profile remove",
        "varsel.cli.profiles:remove",
        "Forget a profile and its key.",
        ("varsel profile remove tt02",),
    ),
    Command(
        "completion",
        "varsel.cli.completion:completion",
        "Print what a shell needs to complete commands and options.",
        (
            "varsel completion bash > ~/.local/share/bash-completion/completions/varsel",
            "varsel completion zsh > ~/.zfunc/_varsel",
            "varsel completion fish > ~/.config/fish/completions/varsel.fish",
        ),
    ),
)
