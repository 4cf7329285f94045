"""The OpenAPI 3.1 description, built from the endpoint table.

Every path, parameter, body, status and credential that it names comes from an `Endpoint` row and the types the row carries; what is
missing there is missing in the document, and the suite compares every response with it. The same rows always give the same bytes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

import varsel
from varsel.runtime.endpoints import SCOPES, Bound, Endpoint, Policy
from varsel.runtime.openapi_examples import coded_example, complete, plain_example
from varsel.runtime.problems import CODES, PLAIN
from varsel.runtime.settings import Settings

_REF: Final = "#/components/schemas/{name}"

_SCHEMES: Final[Mapping[str, dict[str, Any]]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "Access token from the token exchange, with the scope that the operation names.",
    },
    "platform": {
        "type": "apiKey",
        "in": "header",
        "name": "PlatformAccessToken",
        "description": "Platform access token of an app, without a prefix.",
    },
    "metricsKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "Key of the daily metrics files.",
    },
    "gateway": {
        "type": "http",
        "scheme": "basic",
        "description": "User name and password of the SMS gateway's delivery reports.",
    },
    "events": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Varsel-Report-Secret",
        "description": "Shared secret of the e-mail provider's delivery reports.",
    },
    "eventsQuery": {
        "type": "apiKey",
        "in": "query",
        "name": "code",
        "description": "The same secret, for senders of events that can set no header.",
    },
    "internal": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Varsel-Internal",
        "description": "Shared secret of the internal listener, where one is set.",
    },
}

#: policy -> alternatives, each a set of schemes that are needed together.
_SECURITY: Final[Mapping[Policy, list[dict[str, list[str]]]]] = {
    Policy.CREATE: [{"bearer": [SCOPES[Policy.CREATE]]}, {"platform": []}],
    Policy.COMPOSED: [{"bearer": [SCOPES[Policy.COMPOSED]]}],
    Policy.SUPPORT: [{"bearer": [SCOPES[Policy.SUPPORT]]}],
    Policy.PERSON: [{"bearer": []}],
    Policy.METRICS_KEY: [{"metricsKey": []}],
    Policy.SMS_REPORT: [{"gateway": []}],
    Policy.EMAIL_REPORT: [{"events": []}, {"eventsQuery": []}],
    Policy.INTERNAL: [{"internal": []}, {}],
    Policy.OPEN: [],
}
#: Policies that can refuse a verified credential.
_FORBIDS: Final = frozenset({Policy.CREATE, Policy.COMPOSED, Policy.SUPPORT, Policy.PERSON})

_TRACE_ID: Final = {
    "type": "string",
    "description": "W3C trace id of the request.",
    "examples": ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
}
#: path segment before `{id}` -> what the id names.
_IDS: Final[Mapping[str, str]] = {
    "chain": "`notificationOrderId` of an order with its reminders.",
    "orders": "`orderId` of a v1 order or `shipmentId` of a v2 order.",
    "shipment": "`shipmentId`, or the `orderId` of a v1 order.",
    "webhooks": "Id of the webhook.",
}


def _problem_type(example: str) -> dict[str, Any]:
    return {"type": "string", "description": "URI of the kind of problem.", "examples": [example]}


def _problem_title(example: str) -> dict[str, Any]:
    return {"type": "string", "description": "Title of the kind of problem.", "examples": [example]}


_PROBLEMS: Final[Mapping[str, dict[str, Any]]] = {
    "ValidationProblem": {
        "type": "object",
        "title": "ValidationProblem",
        "description": "One or more fields were refused (Notifications API reference, 1.7.1).",
        "required": ["type", "title", "status", "errors", "traceId"],
        "properties": {
            "type": _problem_type("https://tools.ietf.org/html/rfc9110#section-15.5.1"),
            "title": _problem_title("One or more validation errors occurred."),
            "status": {"const": 400, "description": "HTTP status."},
            "errors": {
                "type": "object",
                "description": "Messages by the path of the field.",
                "additionalProperties": {"type": "array", "minItems": 1, "items": {"type": "string"}},
                "examples": [
                    {"Recipient.RecipientSms.PhoneNumber": ["Not a valid international phone number."]}
                ],
            },
            "traceId": _TRACE_ID,
        },
    },
    "CodedProblem": {
        "type": "object",
        "title": "CodedProblem",
        "description": "A domain error with a code (Notifications API reference, 1.7.2).",
        "required": ["type", "title", "status", "code"],
        "properties": {
            "type": _problem_type("urn:altinn:error:NOT-00001"),
            "title": _problem_title(CODES["NOT-00001"].title),
            "status": {"type": "integer", "description": "HTTP status.", "examples": [422]},
            "code": {"enum": sorted(CODES), "description": "Code of the error; each has its own title."},
            "traceId": _TRACE_ID,
            "statusDescription": {
                "type": "string",
                "description": "Reason phrase of the status; absent for 499.",
                "examples": ["Unprocessable Entity"],
            },
        },
    },
    "PlainProblem": {
        "type": "object",
        "title": "PlainProblem",
        "description": "A status with its standard title (Notifications API reference, 1.7.3).",
        "required": ["type", "title", "status", "traceId"],
        "properties": {
            "type": _problem_type("https://tools.ietf.org/html/rfc9110#section-15.5.5"),
            "title": _problem_title("Not Found"),
            "status": {"type": "integer", "description": "HTTP status.", "examples": [404]},
            "traceId": _TRACE_ID,
        },
    },
}

_EMPTY: Final[Mapping[int, str]] = {
    401: "No valid credential; empty body.",
    403: "The credential does not allow this, or names no organisation; empty body.",
    404: "Not found, or another creator's; empty body.",
    415: "The content type is another than declared; empty body.",
    413: "The body is larger than 30,000,000 bytes.",
    500: "Varsel failed; empty body.",
    503: "A part that Varsel needs does not answer; `Retry-After` tells when to try again. Empty body.",
}


#: The same where a problem tells of them, always (404) or where the content type is missing (415).
_TOLD: Final[Mapping[int, str]] = {
    404: "Not found, or another creator's; empty where the id is no UUID and the path asks for one.",
    415: "The content type is another than declared (empty body), or is missing (problem).",
}


def document(
    rows: Iterable[Bound | Endpoint], settings: Settings, *, internal: bool = False, openapi: str = "3.1.0"
) -> bytes:
    """The description as JSON. Internal endpoints are left out unless `internal`."""
    every = [row.endpoint if isinstance(row, Bound) else row for row in rows]
    endpoints = [row for row in every if internal or not row.internal]
    schemas, types = _schemas(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    used: set[str] = set()
    for endpoint in sorted(endpoints, key=lambda row: (row.path, row.method)):
        operation = _operation(endpoint, types)
        for alternative in _SECURITY[endpoint.policy]:
            used |= set(alternative)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    content = {
        "openapi": openapi,
        "info": {
            "title": "Varsel Notifications API",
            "version": varsel.__version__,
            "description": "Order e-mail and SMS, follow every message to its end.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": settings.base_url}],
        "tags": [{"name": name} for name in sorted({_tag(row) for row in endpoints})],
        "paths": paths,
        "components": {
            "schemas": {name: schemas[name] for name in sorted(schemas) if "enum" not in schemas[name]},
            "responses": _shared_responses(),
            "securitySchemes": {name: scheme for name, scheme in _SCHEMES.items() if name in used},
        },
    }
    whole = _inlined(content, schemas)
    complete(whole)
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


def _inlined(node: Any, schemas: Mapping[str, dict[str, Any]]) -> Any:
    """The document with enumerations where they are used (docs/reference/notifications-api.md 2.28)."""
    if isinstance(node, Mapping):
        named = schemas.get(str(node.get("$ref", "")).removeprefix(_REF.format(name="")))
        if named is not None and "enum" in named:
            beside = {name: _inlined(value, schemas) for name, value in node.items() if name != "$ref"}
            return {name: value for name, value in named.items() if name != "title"} | beside
        return {name: _inlined(value, schemas) for name, value in node.items()}
    if isinstance(node, list | tuple):
        return [_inlined(value, schemas) for value in node]
    return node


def _is_schema(kind: Any) -> bool:
    """Whether a row gives a type whose schema msgspec can tell; the rest is given as it stands."""
    return kind is not None and not isinstance(kind, str | Mapping)


def _schemas(endpoints: Sequence[Endpoint]) -> tuple[dict[str, Any], Mapping[int, dict[str, Any]]]:
    kinds: list[Any] = []
    for endpoint in endpoints:
        candidates = [endpoint.request, *endpoint.responses.values()]
        kinds.extend(kind for kind in candidates if _is_schema(kind) and kind not in kinds)
    told, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    # By identity: int and bool, 1 and True, are equal and are not the same.
    by_kind = {id(kind): schema for kind, schema in zip(kinds, told, strict=True)}
    for schema in components.values():
        # The fast decoder leaves unknown members to the tolerant reader; to callers they are allowed, and ignored (1.4).
        if schema.get("additionalProperties") is False:
            del schema["additionalProperties"]
    clash = set(components) & set(_PROBLEMS)
    if clash:
        raise ValueError(f"schema names of our own are taken: {', '.join(sorted(clash))}")
    return {**components, **_PROBLEMS}, _Known(kinds, by_kind)


class _Known(dict[int, dict[str, Any]]):
    """Schemas by the identity of their type; keeps the types alive so that identities stay theirs."""

    def __init__(self, kinds: list[Any], schemas: dict[int, dict[str, Any]]) -> None:
        super().__init__(schemas)
        self._kinds = kinds


def _schema_of(kind: Any, types: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    if isinstance(kind, Mapping):
        return dict(kind)
    found = types.get(id(kind))
    # Union types are made anew by every evaluation of an annotation: equal, and not identical.
    return found if found is not None else msgspec.json.schema(kind, ref_template=_REF)


def _tag(endpoint: Endpoint) -> str:
    if endpoint.tag:
        return endpoint.tag
    service, version, own = endpoint.path.partition("/api/v1/")
    # Under the notifications service the first own segment says it: orders, future, metrics; elsewhere the service does.
    if version and service == "/notifications":
        return own.partition("/")[0]
    return service.strip("/").rpartition("/")[2].partition("/")[0]


def _operation(endpoint: Endpoint, types: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.operation,
        "tags": [_tag(endpoint)],
        "summary": endpoint.summary,
    }
    if endpoint.description:
        operation["description"] = inspect.cleandoc(endpoint.description)
    if endpoint.deprecated:
        operation["deprecated"] = True
    parameters = _parameters(endpoint)
    if parameters:
        operation["parameters"] = parameters
    if endpoint.request is not None:
        operation["requestBody"] = {
            "required": True,
            "content": _content(
                endpoint.request,
                types,
                endpoint.consumes or ("application/json",),
                endpoint.examples.get("request"),
            ),
        }
    operation["responses"] = _responses(endpoint, types)
    operation["security"] = _SECURITY[endpoint.policy]
    return operation


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    given = {(parameter["in"], parameter["name"]) for parameter in endpoint.parameters}
    for name in re.findall(r"\{([^}]+)\}", endpoint.path):
        if ("path", name) in given:
            continue
        schema: dict[str, Any] = {"type": "string"}
        if endpoint.typed.get(name) == "uuid" or name == "id":
            schema["format"] = "uuid"
        before = endpoint.path.partition("{" + name + "}")[0].rstrip("/").rpartition("/")[2]
        found.append(
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": _IDS.get(before, f"Names one of the {before}."),
                "schema": schema,
                "example": "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c10",
            }
        )
    found.extend(dict(parameter) for parameter in endpoint.parameters)
    return found


def _content(
    kind: Any, types: Mapping[int, dict[str, Any]], media: Sequence[str], example: Any = None
) -> dict[str, Any]:
    """A body: a type becomes JSON of its schema; text like `text/html` is a media type without one."""
    if isinstance(kind, str):
        media, schema = (kind,), {"type": "string"} if kind.startswith("text/") else {}
    else:
        schema = _schema_of(kind, types)
    entry: dict[str, Any] = {"schema": schema}
    if example is not None:
        entry["example"] = example
    return dict.fromkeys(media, entry)


def _responses(endpoint: Endpoint, types: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, kind in endpoint.responses.items():
        entry: dict[str, Any] = {"description": _reason(status)}
        if kind is not None:
            entry["content"] = _content(
                kind, types, ("application/json",), endpoint.examples.get(str(status))
            )
        found[str(status)] = entry
    coded: dict[int, list[str]] = {}
    for problem in endpoint.problems:
        if isinstance(problem, str):
            coded.setdefault(CODES[problem].status, []).append(problem)
    statuses = {problem for problem in endpoint.problems if isinstance(problem, int)}
    if endpoint.policy is not Policy.OPEN:
        statuses.add(401)
    if endpoint.policy in _FORBIDS:
        statuses.add(403)
    if endpoint.consumes is not None:
        statuses.add(415)
    if endpoint.method != "GET":
        statuses.add(413)  # a body is read, and limited, also where none is looked at
    statuses |= {500, 503}
    for status in sorted(statuses | set(coded)):
        if str(status) in found:
            continue
        if status in coded:
            found[str(status)] = _coded(status, coded[status], also_empty=status in statuses)
        elif status == 401 and endpoint.policy is Policy.METRICS_KEY:
            found["401"] = {"$ref": "#/components/responses/metricsKey"}
        else:
            name = _shared_name(status)
            if (status == 404 and endpoint.missing_is_told) or (status == 415 and endpoint.needs_type):
                name = f"told{status}"
            found[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return {status: found[status] for status in sorted(found)}


def _coded(status: int, codes: list[str], *, also_empty: bool) -> dict[str, Any]:
    titles = "; ".join(f"{code}: {CODES[code].title}" for code in sorted(codes))
    if also_empty:
        titles += ". Also with an empty body: " + _EMPTY.get(status, _reason(status))
    return {
        "description": titles,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/CodedProblem"},
                "examples": {code: {"value": coded_example(code)} for code in sorted(codes)},
            }
        },
    }


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return CODES["NOT-00002"].title if status == 499 else str(status)


def _shared_name(status: int) -> str:
    return "problem400" if status == 400 else f"status{status}"


def _shared_responses() -> dict[str, Any]:
    def problem(name: str, description: str, example: Any = None) -> dict[str, Any]:
        entry: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{name}"}}
        if example is not None:
            entry["example"] = example
        return {"description": description, "content": {"application/json": entry}}

    shared = {
        "problem400": problem("ValidationProblem", "Fields were refused, by their paths."),
        "metricsKey": {
            "description": "The key is missing or wrong.",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["error"],
                        "properties": {
                            "error": {
                                "type": "string",
                                "description": "A sentence for people.",
                                "examples": ["Invalid API key"],
                            }
                        },
                    }
                }
            },
        },
    }
    for status, description in _TOLD.items():
        shared[f"told{status}"] = problem("PlainProblem", description, plain_example(status))
    for status in sorted({*PLAIN, *_EMPTY}):
        description = _EMPTY.get(status, _reason(status))
        if status in (409, 413, 429):
            shared[_shared_name(status)] = problem("PlainProblem", description, plain_example(status))
        else:
            shared[_shared_name(status)] = {"description": description}
        if status == 503:
            shared["status503"]["headers"] = {
                "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}
            }
    return shared
