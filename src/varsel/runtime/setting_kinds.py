"""What a row of the settings table is, and how the value it is given becomes one of its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from varsel.runtime.errors import SettingsError

PREFIX: Final = "VARSEL_"

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


@dataclass(frozen=True, slots=True)
class Setting:
    """One row. `kind`: text, secret, url (http or https), number (not below `least`), port, seconds, flag, list (comma or space
    separated), choice (of `choices`).
    """

    name: str
    kind: str
    default: Any
    sentence: str
    choices: tuple[str, ...] = ()
    least: int = 0

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()


def parse(setting: Setting, raw: Any) -> Any:
    """The typed value of one setting; SettingsError with the variable's name, never with a secret's value."""

    def refuse(why: str) -> SettingsError:
        return SettingsError(f"{setting.variable} {why}. {setting.sentence}")

    match setting.kind:
        case "text" | "secret":
            if not isinstance(raw, str):
                raise refuse("must be text")
            return raw.strip()
        case "number":
            number = _whole(raw)
            if number is None:
                raise refuse("must be a whole number")
            if number < setting.least:
                raise refuse(f"must be at least {setting.least}" if setting.least else "must not be negative")
            return number
        case "port":
            number = _whole(raw)
            if number is None or not 0 <= number <= 65535:
                raise refuse("must be a port from 0 to 65535")
            return number
        case "url":
            if not isinstance(raw, str) or not (not raw.strip() or _is_web_address(raw.strip())):
                raise refuse("must be an address that begins with http:// or https://")
            return raw.strip()
        case "seconds":
            if isinstance(raw, bool):
                raise refuse("must be a number of seconds")
            try:
                seconds = float(raw)
            except (TypeError, ValueError):
                raise refuse("must be a number of seconds") from None
            if not 0 <= seconds < float("inf"):
                raise refuse("must be a number of seconds, zero or more")
            return seconds
        case "flag":
            word = str(raw).strip().lower()
            if word not in _TRUE | _FALSE:
                raise refuse("must be true or false")
            return word in _TRUE
        case "list":
            if isinstance(raw, list | tuple):
                return tuple(str(item) for item in raw)
            return tuple(item for item in str(raw).replace(",", " ").split() if item)
        case "choice":
            if raw not in setting.choices:
                raise refuse(f"must be one of {', '.join(setting.choices)}")
            return raw
        case _:  # pragma: no cover - the table's test keeps kinds known
            raise AssertionError(setting.kind)


def _whole(raw: Any) -> int | None:
    """TOML has booleans and fractions of its own, which `int` would round."""
    if isinstance(raw, bool | float):
        return None
    try:
        return int(raw)
    except (TypeError, ValueError):
        return None


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    plain = not any(letter.isspace() for letter in text) and not parts.query and not parts.fragment
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0
