"""How an authorization request is answered: in the query, in the fragment, or as a form (docs/reference/identity.md 7.2).

OAuth 2.0 Multiple Response Type Encoding Practices 2.1 and OAuth 2.0 Form Post Response Mode 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from starlette.responses import HTMLResponse, RedirectResponse, Response

from varsel.identity import http
from varsel.identity.idporten import pages
from varsel.identity.idporten.rules import ReturnAddress, with_query

#: The form goes to the client, and from there wherever the client leads: browsers hold both to form-action, so it stays away.
_FORM_POLICY: Final = (
    f"default-src 'none'; style-src 'self' 'unsafe-inline'; script-src {pages.SEND_HASH}; "
    "frame-ancestors 'none'; base-uri 'none'"
)


def answer(
    back: ReturnAddress, values: Mapping[str, str], *, status: int = 303, locale: str = "nb"
) -> Response:
    """Take the browser back to the client with `values` and its own `state`."""
    values = {**values, **({} if back.state is None else {"state": back.state})}
    match back.mode:
        case "form_post":
            headers = {**http.PAGE_HEADERS, "Content-Security-Policy": _FORM_POLICY}
            return HTMLResponse(pages.form_post(locale, back.uri, values), headers=headers)
        case "fragment":
            return redirect(f"{back.uri}#{urlencode(values)}", status)
        case _:
            return redirect(with_query(back.uri, **values), status)


def redirect(target: str, status: int = 303) -> Response:
    """To another address, which does not learn where the browser came from."""
    return RedirectResponse(target, status, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
