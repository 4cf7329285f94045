"""The pages of the built-in provider: plain HTML that works without script, in Norwegian and English."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

from varsel.identity.sheet import document

_SEND: Final = "document.forms[0].submit()"
#: The one script that these pages ever carry, as a source of Content-Security-Policy (CSP 3, 2.3.1).
SEND_HASH: Final = f"'sha256-{base64.b64encode(hashlib.sha256(_SEND.encode()).digest()).decode()}'"

_TEXTS: Final = {
    "nb": {
        "title": "Hvem vil du være?",
        "note": "Testinnlogging",
        "lead": "Velg hvem du vil være, eller skriv et syntetisk fødselsnummer.",
        "choose": "Testperson",
        "other": "Eller fødselsnummer (syntetisk)",
        "button": "Logg inn",
        "refused": "Fødselsnummeret er ikke syntetisk (måned + 80) eller har feil kontrollsiffer.",
        "locked": "For mange forsøk. Prøv igjen om 15 minutter.",
        "error": "Innloggingen kan ikke fortsette",
        "out": "Du er logget ut",
        "on": "Videre til tjenesten",
        "on_button": "Gå videre",
    },
    "en": {
        "title": "Who do you want to be?",
        "note": "Test login",
        "lead": "Choose who to be, or write a synthetic national identity number.",
        "choose": "Test person",
        "other": "Or a national identity number (synthetic)",
        "button": "Log in",
        "refused": "The number is not synthetic (month + 80), or a check digit is wrong.",
        "locked": "Too many attempts. Try again in 15 minutes.",
        "error": "The login cannot go on",
        "out": "You are logged out",
        "on": "On to the service",
        "on_button": "Go on",
    },
}


def _language(locale: str) -> str:
    return "en" if locale == "en" else "nb"


def login(
    locale: str, handle: str, people: Iterable[tuple[str, str]], action: str, *, fault: str | None = None
) -> str:
    """The page where a person is chosen. `fault`: None, `refused` or `locked`."""
    language = _language(locale)
    texts = _TEXTS[language]
    options = "".join(
        f'<option value="{escape(pid)}">{escape(name) + " – " if name else ""}{escape(pid)}</option>'
        for pid, name in people
    )
    error = f'<p class="error" role="alert">{escape(texts[fault])}</p>' if fault else ""
    body = (
        f'<p class="lead">{escape(texts["lead"])}</p>{error}'
        f'<form class="card" method="post" action="{escape(action)}"><input type="hidden" name="handle" value="{escape(handle)}">'
        f'<label for="person">{escape(texts["choose"])}</label><select id="person" name="person">{options}</select>'
        f'<label for="pid">{escape(texts["other"])}</label>'
        '<input id="pid" name="pid" inputmode="numeric" autocomplete="off" maxlength="11">'
        f'<button type="submit">{escape(texts["button"])}</button></form>'
    )
    return document(language, texts["title"], body, note=texts["note"])


def error(locale: str, text: str) -> str:
    """A page for faults that may not be told to the client."""
    language = _language(locale)
    return document(language, _TEXTS[language]["error"], f'<p class="error">{escape(text)}</p>')


def form_post(locale: str, action: str, values: Mapping[str, str]) -> str:
    """The answer as a form (OAuth 2.0 Form Post Response Mode 2): it sends itself, and without script its button does."""
    language = _language(locale)
    texts = _TEXTS[language]
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in values.items()
    )
    body = (
        f'<form method="post" action="{escape(action)}">{fields}'
        f'<button type="submit">{escape(texts["on_button"])}</button></form><script>{_SEND}</script>'
    )
    return document(language, texts["on"], body)


def logged_out(locale: str, frames: Sequence[str] = ()) -> str:
    """The last page; `frames` are the clients' front-channel logout addresses."""
    language = _language(locale)
    hidden = "".join(f'<iframe src="{escape(frame)}" hidden title=""></iframe>' for frame in frames)
    return document(language, _TEXTS[language]["out"], hidden)
