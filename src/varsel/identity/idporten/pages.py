"""The pages of the built-in provider: plain HTML that works without script, in Norwegian and English."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

_TEXTS: Final = {
    "nb": {
        "title": "Testinnlogging",
        "lead": "Dette er en testinnlogging. Velg hvem du vil være, eller skriv et syntetisk fødselsnummer.",
        "choose": "Testperson",
        "other": "Eller fødselsnummer (syntetisk)",
        "button": "Logg inn",
        "refused": "Fødselsnummeret er ikke syntetisk (måned + 80) eller har feil kontrollsiffer.",
        "locked": "For mange forsøk. Prøv igjen om 15 minutter.",
        "error": "Innloggingen kan ikke fortsette",
        "out": "Du er logget ut",
    },
    "en": {
        "title": "Test login",
        "lead": "This is a test login. Choose who to be, or write a synthetic national identity number.",
        "choose": "Test person",
        "other": "Or a national identity number (synthetic)",
        "button": "Log in",
        "refused": "The number is not synthetic (month + 80), or a check digit is wrong.",
        "locked": "Too many attempts. Try again in 15 minutes.",
        "error": "The login cannot go on",
        "out": "You are logged out",
    },
}
_STYLE: Final = (
    "body{font-family:Inter,system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;line-height:1.5}"
    "label{display:block;margin:1rem 0 .25rem;font-weight:500}"
    "select,input{font:inherit;padding:.5rem;width:100%;box-sizing:border-box}"
    "button{font:inherit;margin-top:1.5rem;padding:.6rem 1.4rem;background:#1e2b3c;color:#fff;border:0;border-radius:4px}"
    ".error{border-left:4px solid #c01b1b;padding:.5rem 1rem;background:#fbe9e9}"
)


def _page(locale: str, title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="{locale}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )


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
        f"<p>{escape(texts['lead'])}</p>{error}"
        f'<form method="post" action="{escape(action)}"><input type="hidden" name="handle" value="{escape(handle)}">'
        f'<label for="person">{escape(texts["choose"])}</label><select id="person" name="person">{options}</select>'
        f'<label for="pid">{escape(texts["other"])}</label>'
        '<input id="pid" name="pid" inputmode="numeric" autocomplete="off" maxlength="11">'
        f'<button type="submit">{escape(texts["button"])}</button></form>'
    )
    return _page(language, texts["title"], body)


def error(locale: str, text: str) -> str:
    """A page for faults that may not be told to the client."""
    language = _language(locale)
    return _page(language, _TEXTS[language]["error"], f'<p class="error">{escape(text)}</p>')


def logged_out(locale: str, frames: Sequence[str] = ()) -> str:
    """The last page; `frames` are the clients' front-channel logout addresses."""
    language = _language(locale)
    hidden = "".join(f'<iframe src="{escape(frame)}" hidden title=""></iframe>' for frame in frames)
    return _page(language, _TEXTS[language]["out"], hidden)
