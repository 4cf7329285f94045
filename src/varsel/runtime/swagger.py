"""The API description for people, at `/swagger`: Swagger UI, shipped with Varsel, under a policy that lets nothing else in."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from typing import Final

from varsel.runtime.site import Page

#: Everything comes from this host: no script, style or font of another, no inline script or style, no frame.
POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFE: Final = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_ASSETS: Final = (
    ("swagger-ui.css", b"text/css; charset=utf-8"),
    ("swagger-ui-bundle.js", b"text/javascript; charset=utf-8"),
    ("start.js", b"text/javascript; charset=utf-8"),
)
_PAGE: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Varsel Notifications API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/swagger/swagger-ui.css">
</head>
<body>
<noscript>This page needs scripts; <a href="/openapi.json">/openapi.json</a> tells the same to programs.</noscript>
<div id="swagger-ui"></div>
<script src="/swagger/swagger-ui-bundle.js"></script>
<script src="/swagger/start.js"></script>
</body>
</html>
"""


def pages() -> dict[str, Page]:
    """The page and its assets by path; files are read when first asked for."""
    shown = Page(b"text/html; charset=utf-8", lambda: _PAGE, _SAFE)
    # An hour: a new release brings its own files under the same names.
    kept = (*_SAFE, (b"cache-control", b"public, max-age=3600"))
    assets = {f"/swagger/{name}": Page(kind, partial(_read, name), kept) for name, kind in _ASSETS}
    return {"/swagger": shown, "/swagger/index.html": shown, **assets}


def _read(name: str) -> bytes:
    return files("varsel.runtime").joinpath("swagger_ui", name).read_bytes()
