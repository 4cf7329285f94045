"""The OpenAPI document: committed, valid, told of every field, and the same as what is routed (docs/reference/notifications-api.md 1.9, 2.28)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from varsel.cli.description import ENDPOINTS, ROUTED, description

COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
REFERENCE = COMMITTED.with_name("notifications-api.md")
DOCUMENT: dict[str, Any] = json.loads(description(internal=True))
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    (path, method, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]


def test_the_committed_copy_is_current():
    assert COMMITTED.read_bytes() == description(), "run make openapi"


@pytest.mark.parametrize("internal", [False, True])
def test_the_document_is_valid(internal):
    OpenAPIV31SpecValidator(json.loads(description(internal=internal))).validate()


def test_internal_endpoints_are_left_out_of_what_is_published():
    published = json.loads(description())["paths"]
    assert "/notifications/api/v1/future/orders" in published
    assert not [path for path in published if "/trigger/" in path or path.startswith("/sandbox")]


def test_every_row_of_the_reference_is_described():
    """The table of 1.9, without the pages of 32."""
    text = REFERENCE.read_text()
    bases = {"MAILBASE": "/notifications/email/api/v1", "SMSBASE": "/notifications/sms/api/v1"}
    rows = re.findall(r"^\| (\d+) \| (GET|POST|PUT) \| `([^`?]+)[^`]*`", text, re.MULTILINE)
    assert len(rows) == 37
    told = {(row.method, row.path) for row in ENDPOINTS}
    missing = []
    for number, method, path in rows:
        for name, base in {**bases, "BASE": "/notifications/api/v1"}.items():
            path = path.replace(name, base) if path.startswith(name) else path
        if number != "32" and (method, path) not in told:
            missing.append(f"{number} {method} {path}")
    assert missing == []


def test_each_row_has_a_policy_a_summary_and_an_operation_of_its_own():
    names = [row.operation for row in ENDPOINTS]
    assert len(set(names)) == len(names)
    assert len({(row.method, row.path) for row in ENDPOINTS}) == len(ENDPOINTS)
    for row in ENDPOINTS:
        assert row.policy
        assert row.summary
        assert row.description
        assert row.responses
        assert (row.request is None) or row.consumes, row.path
    assert all(row in ENDPOINTS for row in ROUTED)


def properties() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, schema in SCHEMAS.items():
        for member, told in schema.get("properties", {}).items():
            yield f"{name}.{member}", told


PROPERTIES = dict(properties())


def say(told: dict[str, Any], *words: str) -> Any:
    """The first of these keywords that a schema, what it refers to, or one of its alternatives has."""
    for word in words:
        if word in told:
            return told[word]
    if "$ref" in told:
        return say(SCHEMAS[told["$ref"].rpartition("/")[2]], *words)
    for one in told.get("anyOf", ()):
        if (found := say(one, *words)) is not None:
            return found
    return None


def is_shown(told: dict[str, Any]) -> bool:
    """Whether a reader sees what a value looks like: an example, a closed set of values, or a type whose members have examples."""
    if any(word in told for word in ("examples", "enum", "const", "$ref")):
        return True
    return any(is_shown(one) for one in told.get("anyOf", ()))


@pytest.mark.parametrize("name", PROPERTIES)
def test_each_field_has_a_description_and_an_example(name):
    told = PROPERTIES[name]
    assert say(told, "description"), "needs msgspec.Meta(description=…)"
    assert is_shown(told), "needs msgspec.Meta(examples=[…])"


def test_unknown_members_are_not_forbidden():
    """They are ignored (1.4)."""
    assert "ChainOrder" in SCHEMAS
    assert [name for name, schema in SCHEMAS.items() if schema.get("additionalProperties") is False] == []


def test_each_type_has_a_description():
    assert [name for name, schema in SCHEMAS.items() if not schema.get("description")] == []


def shown(content: dict[str, Any]) -> list[Any]:
    """The examples of a body."""
    several = [one["value"] for one in content.get("examples", {}).values()]
    return [content["example"], *several] if "example" in content else several


def examples() -> Iterator[tuple[str, dict[str, Any], Any]]:
    for name, told in PROPERTIES.items():
        for one in [told, *told.get("anyOf", ())]:
            for example in one.get("examples", ()):
                yield name, told, example
    for path, method, operation in OPERATIONS:
        bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
        for which, body in bodies.items():
            for content in body.get("content", {}).values():
                for example in shown(content):
                    yield f"{method} {path} {which}", content["schema"], example
        for parameter in operation.get("parameters", ()):
            if "example" in parameter:
                yield f"{method} {path} {parameter['name']}", parameter["schema"], parameter["example"]


def test_examples_are_what_they_show():
    checked = 0
    for name, schema, example in examples():
        whole = {**schema, "components": DOCUMENT["components"]}
        found = jsonschema.Draft202012Validator(whole).iter_errors(example)
        assert [error.message for error in found] == [], name
        checked += 1
    assert checked > 150


def test_each_order_has_an_example_of_its_request_and_of_its_receipt():
    for path, method, operation in OPERATIONS:
        if "requestBody" not in operation:
            continue
        for content in operation["requestBody"]["content"].values():
            assert "example" in content, f"{method} {path}"


def test_each_json_answer_has_an_example():
    checked = 0
    for path, method, operation in OPERATIONS:
        for status, answer in operation["responses"].items():
            if "$ref" in answer:
                answer = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
            for kind, content in answer.get("content", {}).items():
                if kind == "application/json":
                    assert shown(content), f"{method} {path} {status}"
                    checked += 1
    assert checked > 100


def test_each_parameter_is_described_with_an_example():
    for path, method, operation in OPERATIONS:
        for parameter in operation.get("parameters", ()):
            where = f"{method} {path} {parameter['name']}"
            assert parameter["description"], where
            assert "example" in parameter or "enum" in parameter["schema"], where


#: Every limit of the reference's sections 2 and 3 that JSON Schema can say.
LIMITS = {
    "ChainOrder.idempotencyId": {"minLength": 1, "pattern": r"\S"},
    "ComposedOrder.idempotencyId": {"minLength": 1, "pattern": r"\S"},
    "InstantSms.idempotencyId": {"minLength": 1, "pattern": r"\S"},
    "InstantEmail.idempotencyId": {"minLength": 1, "pattern": r"\S"},
    "WrappedInstantSms.idempotencyId": {"minLength": 1, "pattern": r"\S"},
    "EmailSettings.subject": {"minLength": 1, "pattern": r"\S"},
    "EmailSettings.body": {"minLength": 1, "pattern": r"\S"},
    "SmsSettings.body": {"minLength": 1, "pattern": r"\S"},
    "EmailOrder.subject": {"minLength": 1, "pattern": r"\S"},
    "SmsOrder.body": {"minLength": 1, "pattern": r"\S"},
    "EmailOrder.recipients": {"minItems": 1},
    "SmsOrder.recipients": {"minItems": 1},
    "ChannelOrder.recipients": {"minItems": 1},
    "InstantSmsSettings.body": {"minLength": 1, "pattern": r"\S"},
    "InstantEmailSettings.body": {"minLength": 1, "pattern": r"\S"},
    "InstantEmailSettings.subject": {"minLength": 1, "pattern": r"\S"},
    "InstantSmsRecipient.timeToLiveInSeconds": {"minimum": 60, "maximum": 172_800},
    "Reminder.delayDays": {"minimum": 1, "maximum": 2_147_483_647},
    "Reminder.delayMinutes": {"minimum": 1, "maximum": 525_600},
    "RecipientPerson.nationalIdentityNumber": {"pattern": "^[0-9]{11}$"},
    "RecipientOrganization.orgNumber": {"pattern": "^[0-9]{9}$"},
    "Recipient.nationalIdentityNumber": {"pattern": "^[0-9]{11}$"},
    "Recipient.organizationNumber": {"pattern": "^[0-9]{9}$"},
    "RecipientPerson.resourceId": {"pattern": "^urn:altinn:resource:."},
    "RecipientOrganization.resourceId": {"pattern": "^urn:altinn:resource:."},
    "Attachment.filename": {"minLength": 1, "pattern": r"^[^/\\]*\.[^/\\.]+$"},
    "NewWebhook.url": {"maxLength": 2000},
    "FeedEntry.sequenceNumber": {"minimum": 1},
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_of_the_reference_are_stated(name):
    assert {word: say(PROPERTIES[name], word) for word in LIMITS[name]} == LIMITS[name]


def test_numbers_in_requests_state_their_range():
    for name, told in PROPERTIES.items():
        kinds = [one for one in [told, *told.get("anyOf", ())] if one.get("type") in ("integer", "number")]
        asked = name.partition(".")[0] in requested()
        for one in kinds:
            assert not asked or {"minimum", "maximum"} <= set(one), name


def requested() -> set[str]:
    """Names of the schemas that requests are made of."""
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            name = str(node.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.add(name)
                walk(SCHEMAS[name])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    for _, _, operation in OPERATIONS:
        walk(operation.get("requestBody"))
    return found


def test_enumerations_are_listed_where_they_are_used():
    assert not [name for name, schema in SCHEMAS.items() if "enum" in schema]
    assert PROPERTIES["RecipientPerson.channelSchema"]["enum"] == [
        "Email",
        "EmailAndSms",
        "EmailPreferred",
        "Sms",
        "SmsPreferred",
    ]


def test_each_read_of_a_caller_spares_what_has_not_changed():
    reads = [
        operation
        for _, method, operation in OPERATIONS
        if method == "get"
        and "401" in operation["responses"]
        and "application/json" in operation["responses"]["200"].get("content", {})
    ]
    assert len(reads) >= 15
    assert [one["operationId"] for one in reads if "304" not in one["responses"]] == []


def test_a_body_that_is_too_large_is_refused_wherever_one_is_read():
    assert [
        (method, path)
        for path, method, operation in OPERATIONS
        if (method != "get") != ("413" in operation["responses"])
    ] == []
