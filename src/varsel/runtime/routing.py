"""Which endpoint answers a path: the routing of docs/reference/notifications-api.md 1.2 and 1.3, without I/O.

Literal segments match in any letter case, one trailing slash is accepted, parameters keep their case. Several rows may match one
path (`POST orders/email` and `GET orders/{id}` both match `orders/email`); the method chooses among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes
from uuid import UUID

from varsel.runtime.endpoints import Bound

_UUID = re.compile(
    r"([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|\{[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}|\([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\))",
    re.IGNORECASE | re.ASCII,
)


def parse_uuid(text: str) -> UUID | None:
    """A UUID in any common textual form (32 digits, hyphenated, in braces or parentheses, any letter case), or None."""
    text = text.strip(" \t")
    return UUID(text.strip("{}()")) if _UUID.fullmatch(text) else None


def _typed_uuid(text: str) -> str | None:
    found = parse_uuid(text)
    return None if found is None else str(found)


#: routing constraint -> the canonical text of a value, or None when the value does not match the route.
CONSTRAINTS: Final[Mapping[str, Callable[[str], str | None]]] = {"uuid": _typed_uuid}


@dataclass(slots=True)
class Route:
    """One row of the table, prepared for matching."""

    bound: Bound
    consumes: frozenset[bytes] | None
    needs_type: bool  # a missing Content-Type is refused after authentication (1.3)
    reads_body: bool
    observe: Callable[[int, float, int, int], None]


@dataclass(frozen=True, slots=True)
class _Template:
    literals: tuple[tuple[int, str], ...]
    parameters: tuple[tuple[int, str, Callable[[str], str | None] | None], ...]
    methods: dict[str, Route]
    #: Literal before typed before untyped, segment by segment: the order in which templates are tried.
    rank: tuple[int, ...]


_NO_PARAMETERS: Final[Mapping[str, str]] = {}


class RouteTable:
    """Finds the route of a method and path. Building it refuses two rows for one method and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._literal: dict[str, dict[str, Route]] = {}
        self._templates: dict[int, list[_Template]] = {}
        for route in routes:
            self._add(route)
        for templates in self._templates.values():
            templates.sort(key=lambda template: template.rank)

    def _add(self, route: Route) -> None:
        endpoint = route.bound.endpoint
        segments = endpoint.path.split("/")[1:]
        if not any(segment.startswith("{") for segment in segments):
            methods = self._literal.setdefault(endpoint.path.lower(), {})
        else:
            methods = self._template(segments, endpoint.typed)
        if endpoint.method in methods:
            raise ValueError(f"{endpoint.method} {endpoint.path} stands twice in the endpoint table")
        methods[endpoint.method] = route

    def _template(self, segments: list[str], typed: Mapping[str, str]) -> dict[str, Route]:
        literals, parameters, rank = [], [], []
        for index, segment in enumerate(segments):
            if segment.startswith("{"):
                name = segment[1:-1]
                constraint = CONSTRAINTS[typed[name]] if name in typed else None
                parameters.append((index, name, constraint))
                rank.append(1 if constraint else 2)
            else:
                literals.append((index, segment.lower()))
                rank.append(0)
        group = self._templates.setdefault(len(segments), [])
        for template in group:
            if (template.literals, template.parameters) == (tuple(literals), tuple(parameters)):
                return template.methods
        template = _Template(tuple(literals), tuple(parameters), {}, tuple(rank))
        group.append(template)
        return template.methods

    def find(self, method: str, path: str) -> tuple[Route | None, Mapping[str, str], tuple[str, ...]]:
        """Route and path parameters; or None with the methods that the path has, none at all when the path is unknown.

        `path` is as sent, without the query, still percent-encoded.
        """
        key = path.lower() if path.isascii() else path
        if len(key) > 1 and key[-1] == "/":
            key = key[:-1]
        exact = self._literal.get(key)
        if exact is not None:
            route = exact.get(method)
            if route is not None:
                return route, _NO_PARAMETERS, ()
        allowed = set(exact) if exact is not None else set()
        if not path.startswith("/"):
            return None, _NO_PARAMETERS, ()  # `OPTIONS *`
        segments = path.split("/")[1:]
        if segments[-1] == "" and len(segments) > 1:
            segments.pop()
        if "%" in path:
            segments = [_decoded(segment) for segment in segments]
            # An escaped literal is the same literal; an escaped slash stays inside its segment.
            if exact is None and not any("/" in segment for segment in segments):
                exact = self._literal.get("/" + "/".join(map(_folded, segments)))
                if exact is not None:
                    route = exact.get(method)
                    if route is not None:
                        return route, _NO_PARAMETERS, ()
                    allowed |= set(exact)
        for template in self._templates.get(len(segments), ()):
            parameters = _match(template, segments)
            if parameters is None:
                continue
            route = template.methods.get(method)
            if route is not None:
                return route, parameters, ()
            allowed |= set(template.methods)
        return None, _NO_PARAMETERS, tuple(sorted(allowed))


def _match(template: _Template, segments: list[str]) -> Mapping[str, str] | None:
    for index, literal in template.literals:
        segment = segments[index]
        if segment != literal and _folded(segment) != literal:
            return None
    parameters = {}
    for index, name, constraint in template.parameters:
        value: str | None = segments[index]
        if not value:
            return None
        if constraint is not None:
            value = constraint(value)
            if value is None:
                return None
        parameters[name] = value
    return parameters


def _folded(segment: str) -> str:
    # Only ASCII letters have two cases here: U+212A lower-cases to "k" and must not reach a route.
    return segment.lower() if segment.isascii() else segment


def _decoded(segment: str) -> str:
    return unquote_to_bytes(segment).decode("utf-8", "replace") if "%" in segment else segment


def media_type_allowed(values: list[bytes], consumes: frozenset[bytes]) -> bool:
    """Whether the declared Content-Type is one of `consumes`; parameters do not matter, two headers never match."""
    return len(values) == 1 and values[0].partition(b";")[0].strip().lower() in consumes
