"""The words of the pages, Norwegian (bokmål) and English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from varsel.console import operations_texts, portal_texts, scope_texts

NORWEGIAN: Final[Mapping[str, str]] = {
    "skip": "Hopp til innholdet",
    "sandbox": "Sandkasse",
    "navigation": "Hovedmeny",
    "other_language": "English",
    "clock_moved": "Klokken i sandkassen er flyttet. Her er det",
    "inbox": "Innboks",
    "inbox_lead": "Det sandkassen sender, havner her i stedet for hos mottakeren.",
    "search_label": "Søk etter mottaker",
    "search": "Søk",
    "channel": "Kanal",
    "all": "Alle",
    "email": "E-post",
    "sms": "SMS",
    "to": "Til",
    "to_lower": "til",
    "sender": "Fra",
    "received": "Mottatt",
    "validity": "Gyldig i",
    "minutes": "minutter",
    "alphabet": "Tegnsett",
    "no_subject": "(uten emne)",
    "count_none": "Ingen meldinger",
    "count_one": "1 melding",
    "count_many": "{} meldinger",
    "count_more": "De nyeste {} meldingene",
    "older": "Vis eldre meldinger",
    "nothing_yet": "Ingen meldinger ennå",
    "nothing_yet_hint": "Bestill et varsel over API-et. Meldingen dukker opp her av seg selv.",
    "nothing_found": "Ingen meldinger passer",
    "nothing_found_hint": "Prøv en del av en e-postadresse eller et nummer, eller velg alle kanaler.",
    "back": "Til innboksen",
    "sms_to": "SMS til",
    "content": "Innhold",
    "views": "Visninger",
    "view_html": "Melding",
    "view_text": "Ren tekst",
    "view_headers": "Hodefelter",
    "view_source": "Kilde",
    "html_note": "Vises uten skript og uten bilder fra nettet.",
    "download": "Last ned som .eml",
    "attachments": "Vedlegg",
    "empty": "Tøm innboksen",
    "empty_question": "Tømme innboksen?",
    "empty_hint": "Alle meldinger i sandkassen slettes. Bestillinger og statuser blir stående.",
    "keep": "Behold meldingene",
    "missing": "Fant ikke siden",
    "missing_hint": "Siden finnes ikke, eller meldingen er slettet.",
    "to_start": "Til startsiden",
}

ENGLISH: Final[Mapping[str, str]] = {
    "skip": "Skip to content",
    "sandbox": "Sandbox",
    "navigation": "Main menu",
    "other_language": "Norsk",
    "clock_moved": "The sandbox clock has been moved. Here it is",
    "inbox": "Inbox",
    "inbox_lead": "What the sandbox sends ends up here instead of with its recipient.",
    "search_label": "Search by recipient",
    "search": "Search",
    "channel": "Channel",
    "all": "All",
    "email": "E-mail",
    "sms": "SMS",
    "to": "To",
    "to_lower": "to",
    "sender": "From",
    "received": "Received",
    "validity": "Valid for",
    "minutes": "minutes",
    "alphabet": "Alphabet",
    "no_subject": "(no subject)",
    "count_none": "No messages",
    "count_one": "1 message",
    "count_many": "{} messages",
    "count_more": "The newest {} messages",
    "older": "Show older messages",
    "nothing_yet": "No messages yet",
    "nothing_yet_hint": "Order a notification over the API. The message shows up here by itself.",
    "nothing_found": "No messages match",
    "nothing_found_hint": "Try part of an e-mail address or a number, or choose all channels.",
    "back": "Back to the inbox",
    "sms_to": "SMS to",
    "content": "Content",
    "views": "Views",
    "view_html": "Message",
    "view_text": "Plain text",
    "view_headers": "Headers",
    "view_source": "Source",
    "html_note": "Shown without scripts and without pictures from the web.",
    "download": "Download as .eml",
    "attachments": "Attachments",
    "empty": "Empty the inbox",
    "empty_question": "Empty the inbox?",
    "empty_hint": "Every message in the sandbox is deleted. Orders and statuses stay.",
    "keep": "Keep the messages",
    "missing": "Page not found",
    "missing_hint": "There is no such page, or the message has been deleted.",
    "to_start": "To the start page",
}

TEXTS: Final[Mapping[str, Mapping[str, str]]] = {
    "nb": {**NORWEGIAN, **portal_texts.NORWEGIAN, **scope_texts.NORWEGIAN, **operations_texts.NORWEGIAN},
    "en": {**ENGLISH, **portal_texts.ENGLISH, **scope_texts.ENGLISH, **operations_texts.ENGLISH},
}

MONTHS: Final[Mapping[str, tuple[str, ...]]] = {
    "nb": (
        "januar",
        "februar",
        "mars",
        "april",
        "mai",
        "juni",
        "juli",
        "august",
        "september",
        "oktober",
        "november",
        "desember",
    ),
    "en": (
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ),
}


def preferred(accept_language: str) -> str:
    """`nb` or `en`, by the Accept-Language header (RFC 9110 12.5.4); Norwegian where it says neither."""
    best, found = 0.0, "nb"
    for part in accept_language.split(","):
        tag, _, weight = part.strip().partition(";q=")
        language = {"nb": "nb", "no": "nb", "nn": "nb", "en": "en"}.get(tag.strip().lower().split("-")[0])
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue
        if language is not None and quality > best:
            best, found = quality, language
    return found
