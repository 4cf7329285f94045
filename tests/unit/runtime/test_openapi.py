"""The OpenAPI document says what the endpoint table says, and nothing else."""

from __future__ import annotations

import enum
import json
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta
from openapi_spec_validator import OpenAPIV31SpecValidator

from varsel.runtime.endpoints import Bound, Endpoint, Policy
from varsel.runtime.openapi import document
from varsel.runtime.settings import Settings

BASE = "/notifications/api/v1"
JSON = ("application/json",)


class Channel(enum.StrEnum):
    """How a message travels."""

    EMAIL = "Email"
    SMS = "Sms"


class Item(msgspec.Struct, rename="camel"):
    """One thing."""

    sent_at: Annotated[str, Meta(description="When.", extra_json_schema={"format": "date-time"})]
    channel: Channel = Channel.EMAIL


class Order(msgspec.Struct, rename="camel"):
    """What is ordered."""

    subject: Annotated[str, Meta(description="Subject line.", examples=["Hei"], min_length=1)]
    items: list[Item] = []


class Receipt(msgspec.Struct):
    """What was accepted."""

    id: str


ENDPOINTS = (
    Endpoint(
        "POST",
        f"{BASE}/orders",
        "create",
        Policy.CREATE,
        "Order",
        consumes=JSON,
        body_name="order",
        request=Order,
        responses={202: Receipt, 200: Receipt},
        problems=(400, "NOT-00001", "NOT-00002"),
        deprecated=True,
        description="Orders\n    something.",
        examples={"request": {"subject": "Hei"}, "202": {"id": "1"}},
    ),
    Endpoint(
        "GET",
        f"{BASE}/future/shipment/{{id}}",
        "shipment",
        Policy.CREATE,
        "One",
        responses={200: Item},
        problems=(404, "NOT-00003"),
        typed={"id": "uuid"},
        parameters=({"name": "verbose", "in": "query", "schema": {"type": "boolean"}},),
    ),
    Endpoint(
        "GET", f"{BASE}/future/shipment/feed", "feed", Policy.CREATE, "All", JSON, responses={200: list[Item]}
    ),
    Endpoint(
        "POST",
        f"{BASE}/metrics/sms",
        "metrics",
        Policy.METRICS_KEY,
        "File",
        responses={200: "application/octet-stream"},
    ),
    Endpoint("GET", "/health", "health", Policy.OPEN, "Alive", responses={200: "text/plain"}),
    Endpoint(
        "POST", f"{BASE}/trigger/x", "trigger", Policy.INTERNAL, "Wake", internal=True, responses={200: None}
    ),
)


async def nobody(call):
    raise AssertionError


def made(*endpoints, **options) -> dict:
    bound = [Bound(endpoint, nobody) for endpoint in endpoints or ENDPOINTS]
    return json.loads(document(bound, Settings(public_url="https://varsel.example.org/"), **options))


@pytest.mark.parametrize("internal", [False, True])
def test_the_document_is_valid(internal):
    OpenAPIV31SpecValidator(made(internal=internal)).validate()


def test_the_same_rows_give_the_same_bytes_in_any_order():
    settings = Settings()
    bound = [Bound(endpoint, nobody) for endpoint in ENDPOINTS]
    assert document(bound, settings) == document(reversed(bound), settings)


def test_types_become_shared_schemas_with_their_words():
    schemas = made()["components"]["schemas"]
    assert schemas["Order"]["description"] == "What is ordered."
    assert schemas["Order"]["properties"]["subject"] == {
        "type": "string",
        "description": "Subject line.",
        "examples": ["Hei"],
        "minLength": 1,
    }
    assert schemas["Item"]["properties"]["sentAt"]["format"] == "date-time"
    assert "Channel" not in schemas
    assert schemas["Item"]["properties"]["channel"]["enum"] == ["Email", "Sms"]


def test_an_operation_tells_its_body_answers_and_refusals():
    operation = made()["paths"][f"{BASE}/orders"]["post"]
    assert (operation["operationId"], operation["deprecated"], operation["tags"]) == (
        "create",
        True,
        ["orders"],
    )
    body = operation["requestBody"]["content"]["application/json"]
    assert body == {"schema": {"$ref": "#/components/schemas/Order"}, "example": {"subject": "Hei"}}
    assert set(operation["responses"]) == {
        "200",
        "202",
        "400",
        "401",
        "403",
        "413",
        "415",
        "422",
        "499",
        "500",
        "503",
    }
    accepted = operation["responses"]["202"]["content"]["application/json"]
    assert accepted == {"schema": {"$ref": "#/components/schemas/Receipt"}, "example": {"id": "1"}}
    assert operation["security"] == [
        {"bearer": ["altinn:serviceowner/notifications.create"]},
        {"platform": []},
    ]


def test_path_parameters_come_from_the_template():
    parameters = made()["paths"][f"{BASE}/future/shipment/{{id}}"]["get"]["parameters"]
    assert parameters == [
        {
            "name": "id",
            "in": "path",
            "required": True,
            "description": "`shipmentId`, or the `orderId` of a v1 order.",
            "schema": {"type": "string", "format": "uuid"},
            "example": "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c10",
        },
        {"name": "verbose", "in": "query", "schema": {"type": "boolean"}},
    ]


def test_open_endpoints_ask_for_nothing_and_internal_ones_are_left_out():
    content = made()
    assert content["paths"]["/health"]["get"]["security"] == []
    assert f"{BASE}/trigger/x" not in content["paths"]
    assert "internal" not in content["components"]["securitySchemes"]
    assert f"{BASE}/trigger/x" in made(internal=True)["paths"]


def test_links_follow_the_public_url():
    assert made()["servers"] == [{"url": "https://varsel.example.org"}]


def test_a_file_has_its_media_type():
    answer = made()["paths"][f"{BASE}/metrics/sms"]["post"]["responses"]
    assert answer["200"]["content"] == {"application/octet-stream": {"schema": {}}}
    assert answer["401"] == {"$ref": "#/components/responses/metricsKey"}


def test_a_type_named_like_a_problem_is_refused():
    class PlainProblem(msgspec.Struct):
        title: str

    with pytest.raises(ValueError, match="PlainProblem"):
        made(Endpoint("GET", "/x", "x", Policy.OPEN, "", responses={200: PlainProblem}))


def test_the_documents_of_the_rooms_are_valid():
    """Whatever rows the rooms have, they make one valid document with unique operation names."""
    from varsel.delivery.routes import ENDPOINTS as DELIVERY
    from varsel.orders.routes import ENDPOINTS as ORDERS
    from varsel.review.routes import ENDPOINTS as REVIEW

    content = made(*ORDERS, *REVIEW, *DELIVERY, internal=True)
    OpenAPIV31SpecValidator(content).validate()
    names = [operation["operationId"] for path in content["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
