"""Accepted orders to persons and to organizations, whose addresses are looked up before the receipt, beside plain ones."""

from __future__ import annotations

import json
import tempfile
from typing import Any, Final

from bench.rows import How, Row, median, told
from bench.world import World, email_order

ROUNDS: Final = 3
FAR: Final = "9999-01-01T00:00:00Z"
_PERSON, _ORGANIZATION = "17849012320", "312345609"
_CONTACTS: Final = (
    {"person": _PERSON, "name": "Kari Prøve", "email": "kari@example.org", "mobile": "+4799999999"},
    {"organization": _ORGANIZATION, "name": "Prøve AS", "emails": ["post@example.org"]},
)
_SETTINGS: Final = {
    "channelSchema": "EmailPreferred",
    "emailSettings": {"subject": "Ny melding", "body": "Hei $recipientName$, logg inn for å lese."},
    "smsSettings": {"body": "Du har en ny melding."},
}
_RECIPIENTS: Final[dict[str, dict[str, Any]]] = {
    "person": {"recipientPerson": {"nationalIdentityNumber": _PERSON, **_SETTINGS}},
    "organization": {"recipientOrganization": {"orgNumber": _ORGANIZATION, **_SETTINGS}},
}


def lookups(how: How) -> list[Row]:
    """Orders a second through those of plain orders in the same rounds, at concurrency 32."""
    results: dict[str, list[dict[str, Any]]] = {kind: [] for kind in ("plain", *_RECIPIENTS)}
    with World() as world:
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as contacts:
            contacts.writelines(json.dumps(one) + "\n" for one in _CONTACTS)
            contacts.flush()
            world.run("contacts", "import", contacts.name)
        plain = email_order(requestedSendTime=FAR)
        bodies = {"plain": plain} | {kind: plain | {"recipient": one} for kind, one in _RECIPIENTS.items()}
        requests = {
            kind: world.request("POST", "/notifications/api/v1/future/orders", body)
            for kind, body in bodies.items()
        }
        world.load(requests["plain"], seconds=1)
        for number in range(ROUNDS):
            for kind, request in requests.items():
                how.say(f"accept of {kind} orders, round {number + 1} of {ROUNDS}")
                result = world.load(request, seconds=how.of(3, 10))
                if set(result["statuses"]) != {"201"}:
                    raise SystemExit(f"accept, {kind}: unexpected answers {result['statuses']}")
                results[kind].append(result)
    rows = []
    for kind in _RECIPIENTS:
        pairs = list(zip(results[kind], results["plain"], strict=True))
        figures = {
            "orders/s": median([one["per_second"] for one in results[kind]]),
            "plain/s": median([one["per_second"] for one in results["plain"]]),
            "p99_ms": median([one["p99"] for one in results[kind]]),
        }
        ratio = median([one["per_second"] / beside["per_second"] for one, beside in pairs])
        rows.append(told(f"accept of {kind} orders / plain", ratio, "", **figures))
    return rows
