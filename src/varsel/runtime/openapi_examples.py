"""Examples for every field and every JSON answer of the description that has none of its own, from the examples of what it consists of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from varsel.runtime.problems import CODES, PLAIN, RFC

_SHOWN: Final = ("examples", "enum", "const", "$ref")
_TRACE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class _NoExampleError(Exception):
    """A plain value whose type gives none; the suite finds it."""


def coded_example(code: str) -> dict[str, Any]:
    """The body of a coded problem."""
    entry = CODES[code]
    body = {
        "type": f"urn:altinn:error:{code}",
        "title": entry.title,
        "status": entry.status,
        "code": code,
        "traceId": _TRACE,
    }
    return body if entry.reason is None else body | {"statusDescription": entry.reason}


def plain_example(status: int) -> dict[str, Any]:
    """The body of a plain status problem."""
    section, title = PLAIN[status]
    return {"type": RFC + section, "title": title, "status": status, "traceId": _TRACE}


def complete(document: Mapping[str, Any]) -> None:
    """Put in what is missing; the same document always gives the same examples."""
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        for told in _fields(schema):
            if not _is_shown(told):
                with suppress(_NoExampleError):
                    told["examples"] = [_example(told, schemas)]
    for content in _answers(document):
        if content["schema"] and not {"example", "examples"} & set(content):
            with suppress(_NoExampleError):
                content["example"] = _example(content["schema"], schemas)


def _fields(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for told in schema.get("properties", {}).values():
        yield told
        yield from _fields(told)


def _is_shown(told: Mapping[str, Any]) -> bool:
    return any(word in told for word in _SHOWN) or any(_is_shown(one) for one in told.get("anyOf", ()))


def _answers(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    answers = list(document["components"]["responses"].values())
    for operations in document["paths"].values():
        for operation in operations.values():
            answers.extend(operation["responses"].values())
    for answer in answers:
        for kind, content in answer.get("content", {}).items():
            if kind == "application/json":
                yield content


def _example(told: Mapping[str, Any], schemas: Mapping[str, Mapping[str, Any]]) -> Any:
    if "$ref" in told:
        return _example(schemas[told["$ref"].rpartition("/")[2]], schemas)
    if "examples" in told:
        return told["examples"][0]
    if "const" in told:
        return told["const"]
    if "enum" in told:
        return told.get("default", told["enum"][0])
    if "anyOf" in told:
        # The first that is a value at all: null is what is left out.
        return _example(next(one for one in told["anyOf"] if one.get("type") != "null"), schemas)
    match told.get("type"):
        case "array":
            return [_example(told["items"], schemas)]
        case "boolean":
            return told.get("default", True)
        case "object":
            fields = told.get("properties", {})
            return {name: _example(fields[name], schemas) for name in told.get("required", fields)}
    raise _NoExampleError
