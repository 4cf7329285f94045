"""Questions to the authorization decision point in the XACML JSON profile (docs/reference/delivery.md 3.2). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

_TEXT: Final = "http://www.w3.org/2001/XMLSchema#string"
_ACTION: Final = "urn:oasis:names:tc:xacml:1.0:action:action-id"
_SUBJECT_CATEGORY: Final = "urn:oasis:names:tc:xacml:1.0:subject-category:access-subject"
_RESOURCE_CATEGORY: Final = "urn:oasis:names:tc:xacml:3.0:attribute-category:resource"
_USER: Final = "urn:altinn:userid"
_PARTY: Final = "urn:altinn:partyid"


class DecisionError(ValueError):
    """The decision point answered something else than decisions."""


def question(pairs: Sequence[tuple[str, str]], resource: str, action: str) -> dict[str, Any]:
    """The request for pairs of (user id, party id)."""
    users = dict.fromkeys(user for user, _ in pairs)
    parties = dict.fromkeys(party for _, party in pairs)
    return {
        "Request": {
            "Action": [
                {
                    "Id": "action",
                    "Attribute": [
                        {"AttributeId": _ACTION, "Value": action, "DataType": "string", "Issuer": "Altinn"}
                    ],
                }
            ],
            "AccessSubject": [
                {"Id": f"subject{user}", "Attribute": [_attribute(_USER, user, shown=True)]} for user in users
            ],
            "Resource": [
                {
                    "Id": f"resource{party}",
                    "Attribute": [*_resource(resource), _attribute(_PARTY, party, shown=True)],
                }
                for party in parties
            ],
            "MultiRequests": {
                "RequestReference": [
                    {"ReferenceId": [f"subject{user}", "action", f"resource{party}"]} for user, party in pairs
                ]
            },
        }
    }


def _attribute(identifier: str, value: str, *, shown: bool = False) -> dict[str, Any]:
    attribute: dict[str, Any] = {"AttributeId": identifier, "Value": value, "DataType": _TEXT}
    if shown:
        attribute["IncludeInResult"] = True
    return attribute


def _resource(resource: str) -> list[dict[str, Any]]:
    """A slug `app_{org}_{app}` names an app; everything else is a resource of the register."""
    if resource.startswith("app_"):
        _, org, app, *_rest = [*resource.split("_"), "", ""]
        return [_attribute("urn:altinn:org", org), _attribute("urn:altinn:app", app)]
    return [_attribute("urn:altinn:resource", resource)]


def permitted(answer: Any) -> set[tuple[str, str]]:
    """The pairs of an answer that are permitted. DecisionError for an answer without decisions: that is no denial."""
    results = _member(answer, "response")
    if not isinstance(results, list) or not results:
        raise DecisionError("no decisions")
    found = set()
    for result in results:
        if str(_member(result, "decision")).lower() != "permit":
            continue
        values = {}
        for category in _list(_member(result, "category")):
            kind = str(_member(category, "categoryid") or "")
            for attribute in _list(_member(category, "attribute")):
                values[kind, str(_member(attribute, "attributeid"))] = _member(attribute, "value")
        user, party = values.get((_SUBJECT_CATEGORY, _USER)), values.get((_RESOURCE_CATEGORY, _PARTY))
        if user is not None and party is not None:
            found.add((str(user), str(party)))
    return found


def _list(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else ()


def _member(value: Any, name: str) -> Any:
    """A member by its name in lower case: the profile's implementations do not agree on case."""
    if isinstance(value, Mapping):
        for key, found in value.items():
            if str(key).lower() == name:
                return found
    return None
