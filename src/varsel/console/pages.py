"""Pages: templates, language, moments, and the headers that every answer of the console carries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from varsel.console.seeded_scopes import described
from varsel.console.texts import MONTHS, TEXTS, preferred
from varsel.runtime.clock import Calendar
from varsel.runtime.times import OSLO, wire_time

LANGUAGE_COOKIE: Final = "varsel-language"

#: Own files only; no inline script or style. The pictures in data: are Designsystemet's icons.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

_SPACE = re.compile(r"\s+")
_MARKS = re.compile(r"([/.:])")


def local(moment: datetime) -> datetime:
    return moment.astimezone(OSLO)


def day(moment: datetime, language: str) -> str:
    """`14. mars 2031`, `14 March 2031`; Norwegian time."""
    here = local(moment)
    return f"{here.day}{'.' if language == 'nb' else ''} {MONTHS[language][here.month - 1]} {here.year}"


def _time(moment: datetime, shown: str) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(wire_time(moment), shown)


@pass_context
def _moment(context: Context, moment: datetime) -> Markup:
    language = context["language"]
    clock = f"{local(moment):%H:%M:%S}"
    return _time(moment, f"{day(moment, language)}{' kl. ' if language == 'nb' else ', '}{clock}")


@pass_context
def _date(context: Context, moment: datetime) -> Markup:
    return _time(moment, day(moment, context["language"]))


@pass_context
def _short(context: Context, moment: datetime, now: datetime) -> str:
    """The time today, the day otherwise."""
    here, today = local(moment), local(now)
    if here.date() == today.date():
        return f"{here:%H:%M:%S}"
    language = context["language"]
    month = MONTHS[language][here.month - 1][:3]
    day_of = f"{here.day}{'.' if language == 'nb' else ''} {month}"
    return f"{day_of} {here:%H:%M}" if abs(today - here) < timedelta(days=300) else day(moment, language)


def _described(scope: Mapping[str, Any], language: str) -> str:
    return described(scope["name"], scope["description"], language)


def _beginning(text: str) -> str:
    return _SPACE.sub(" ", text[:160]).strip()


def _breakable(text: str) -> Markup:
    """A scope's name, which a line may break after its marks only."""
    return Markup("").join(
        escape(part) + Markup("<wbr>") if part in "/.:" else escape(part) for part in _MARKS.split(text)
    )


def _size(octets: int) -> str:
    if octets < 1000:
        return f"{octets} B"
    return f"{octets / 1000:.0f} kB" if octets < 1_000_000 else f"{octets / 1_000_000:.1f} MB"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("varsel.console"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {
        "moment": _moment,
        "date": _date,
        "short": _short,
        "described": _described,
        "wire": wire_time,
        "beginning": _beginning,
        "size": _size,
        "breakable": _breakable,
    }
    return environment


class Pages:
    """Renders templates in the reader's language."""

    def __init__(self, calendar: Calendar, *, sandbox: bool) -> None:
        self._calendar = calendar
        self._sandbox = sandbox
        self._templates = _environment()
        #: Whether there is a portal to lead to.
        self.portal = False

    def language(self, request: Request) -> str:
        """What the reader chose (`?lang=`, then the cookie), or what the browser asks for."""
        for chosen in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
            if chosen is not None and chosen in TEXTS:
                return chosen
        return preferred(request.headers.get("accept-language", ""))

    def text(self, request: Request) -> dict[str, str]:
        return dict(TEXTS[self.language(request)])

    def show(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """A page. Templates know `t` (the texts), `language`, `now` (calendar), `moved`, `sandbox` `room`, `visitor` (who is logged in) and `portal`."""
        language = self.language(request)
        other = "en" if language == "nb" else "nb"
        query = [item for item in request.query_params.multi_items() if item[0] != "lang"]
        shift = getattr(self._calendar, "shift", timedelta(0))
        page = self._templates.get_template(template).render(
            {
                "t": TEXTS[language],
                "language": language,
                "other_language": other,
                "other_language_url": "?" + urlencode([*query, ("lang", other)]),
                "now": self._calendar.now(),
                "moved": self._sandbox and bool(shift),
                "sandbox": self._sandbox,
                "room": "",
                "visitor": getattr(request.state, "visitor", None),
                "portal": self.portal,
                **values,
            }
        )
        response = HTMLResponse(page, status, HEADERS)
        if request.query_params.get("lang") in TEXTS:
            response.set_cookie(
                LANGUAGE_COOKIE,
                language,
                max_age=365 * 86_400,
                path="/console",
                samesite="lax",
                httponly=True,
                secure=request.url.scheme == "https",
            )
        return response
