"""The frame of identity's own pages: one small sheet of styles, no script, no file from elsewhere.

The console's styles are not used: the identity role may run where no console is.
"""

from __future__ import annotations

from html import escape
from typing import Final

_STYLE: Final = """
*{box-sizing:border-box}
body{margin:0;background:#f3f4f5;color:#23262a;font:1rem/1.5 Inter,system-ui,-apple-system,"Segoe UI",sans-serif}
header{background:#fff;border-bottom:1px solid #dfe1e4}
header div,main{max-width:36rem;margin:0 auto;padding:1rem}
header div{display:flex;align-items:center;gap:.75rem;font-weight:600;font-size:1.125rem}
header span{font-size:.875rem;font-weight:400;background:#fbe5c4;color:#4d3000;padding:.125rem .5rem;border-radius:2px}
h1{font-size:1.75rem;line-height:1.25;margin:1.5rem 0 .5rem;letter-spacing:-.01em}
.card{background:#fff;border:1px solid #dfe1e4;border-radius:8px;padding:1.5rem;margin:1.25rem 0}
p{margin:0 0 1rem}
.lead{color:#52575f}
label{display:block;margin:1rem 0 .375rem;font-weight:500}
label:first-of-type{margin-top:0}
select,input{font:inherit;width:100%;padding:.625rem .75rem;color:inherit;background:#fff;border:1px solid #6a7078;border-radius:4px}
button{font:inherit;font-weight:500;margin-top:1.5rem;padding:.625rem 1.25rem;color:#fff;background:#0062ba;border:0;border-radius:4px}
button:hover{background:#00509a;cursor:pointer}
:focus-visible{outline:3px solid #23262a;outline-offset:3px}
.error{background:#fbe9e9;border:1px solid #c01b1b;border-radius:8px;padding:.75rem 1rem;color:#5c0a0a}
code{font:.9375rem/1.5 ui-monospace,SFMono-Regular,Menlo,monospace;overflow-wrap:anywhere}
@media (forced-colors:active){button{border:1px solid}}
"""


def document(language: str, title: str, body: str, *, note: str | None = None) -> str:
    """A whole page. `title` and `note` are text, `body` is HTML; `note` stands beside the name, as a label."""
    label = f"<span>{escape(note)}</span>" if note else ""
    return (
        f'<!doctype html><html lang="{escape(language)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} – Varsel</title><style>{_STYLE}</style></head>"
        f"<body><header><div>Varsel {label}</div></header><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
