"""The API description for people, at `/swagger`: one page without scripts, made from the OpenAPI document."""

from __future__ import annotations

from html import escape
from typing import Any, Final

import msgspec

_STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid; }
details { border: 1px solid color-mix(in srgb, currentColor 25%, transparent); border-radius: .4rem; margin: .5rem 0; padding: .5rem .8rem; }
summary { cursor: pointer; overflow-wrap: anywhere; }
summary b { display: inline-block; min-width: 4rem; }
.old { text-decoration: line-through; opacity: .7; }
pre { overflow-x: auto; font-size: .85rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .25rem .75rem .25rem 0; vertical-align: top; }
"""
_METHODS: Final = ("get", "post", "put", "patch", "delete")


def page(document: bytes) -> bytes:
    """The page of an OpenAPI document in JSON."""
    content: dict[str, Any] = msgspec.json.decode(document)
    info = content["info"]
    by_tag: dict[str, list[str]] = {}
    for path, item in content["paths"].items():
        for method in _METHODS:
            if method in item:
                operation = item[method]
                tag = (operation.get("tags") or ["other"])[0]
                by_tag.setdefault(tag, []).append(_operation(method, path, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(rows)}" for tag, rows in sorted(by_tag.items()))
    schemas = "".join(
        f'<details id="{escape(name)}"><summary>{escape(name)}</summary>{_json(schema)}</details>'
        for name, schema in sorted(content.get("components", {}).get("schemas", {}).items())
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('description', ''))}</p>"
        '<p>The same as a document for programs: <a href="/openapi.json">/openapi.json</a></p>'
        f"{sections}<h2>Types</h2>{schemas}</body></html>"
    ).encode()


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    style = ' class="old"' if operation.get("deprecated") else ""
    rows = "".join(
        f"<tr><th>{escape(status)}</th><td>{_description(answer)}</td></tr>"
        for status, answer in operation.get("responses", {}).items()
    )
    parameters = "".join(
        f"<tr><th>{escape(str(each.get('name', '')))}</th><td>{escape(str(each.get('in', '')))}</td>"
        f"<td>{escape(str(each.get('description', '')))}</td></tr>"
        for each in operation.get("parameters", ())
    )
    body = operation.get("requestBody")
    return (
        f"<details><summary><b>{method.upper()}</b> <code{style}>{escape(path)}</code> "
        f"{escape(operation.get('summary', ''))}</summary><p>{escape(operation.get('description', ''))}</p>"
        + (f"<h3>Parameters</h3><table>{parameters}</table>" if parameters else "")
        + (f"<h3>Body</h3>{_json(body.get('content', {}))}" if body else "")
        + f"<h3>Answers</h3><table>{rows}</table></details>"
    )


def _description(answer: dict[str, Any]) -> str:
    if "$ref" in answer:
        return escape(answer["$ref"].rpartition("/")[2])
    return escape(answer.get("description", ""))


def _json(value: Any) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return f"<pre>{escape(text)}</pre>"
