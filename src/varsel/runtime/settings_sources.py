"""Where settings come from. Later ones win: `varsel.toml` and `.env` in the working directory (or the file that VARSEL_SETTINGS_FILE
names), the environment, the options of a command. A secret may also be given as a file: `VARSEL_X_FILE`. A name that is
unknown, or a value that does not parse, refuses to start.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from varsel.runtime.errors import SettingsError
from varsel.runtime.setting_kinds import PREFIX
from varsel.runtime.settings import BY_NAME, Settings

#: Variables that are no settings: where settings are, and the step at which the chaos suite kills (varsel.runtime.steps).
NO_SETTINGS: Final = frozenset({"VARSEL_SETTINGS_FILE", "VARSEL_FAULT_STEP"})


def load(
    environment: Mapping[str, str] | None = None, directory: Path | None = None, **overrides: Any
) -> Settings:
    """Settings from files and environment; `overrides` (command-line options) win. Raises SettingsError."""
    environment = os.environ if environment is None else environment
    directory = Path() if directory is None else directory
    found: dict[str, Any] = {}
    named = environment.get("VARSEL_SETTINGS_FILE")
    toml = Path(named) if named else directory / "varsel.toml"
    if named and not _is_file(toml):
        raise SettingsError("VARSEL_SETTINGS_FILE names a file that does not exist.")
    if _is_file(toml):
        found |= _read_toml(toml)
    dotenv = directory / ".env"
    if _is_file(dotenv):
        found |= _from_environment(_read_dotenv(dotenv), ".env")
    found |= _from_environment(environment, "environment")
    found |= {name: value for name, value in overrides.items() if value is not None}
    return Settings(**found)


def _names_file(name: str) -> bool:
    """Whether `name` is that of a secret followed by _file."""
    return name.endswith("_file") and name not in BY_NAME and _is_secret(name.removesuffix("_file"))


def _is_secret(name: str) -> bool:
    return name in BY_NAME and BY_NAME[name].kind == "secret"


def _from_file(path: Any, shown: str) -> str:
    """The secret in a file; `shown` is what the owner calls the setting that names it."""
    try:
        return Path(str(path)).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SettingsError(f"{shown} names a file that cannot be read: {reason}.") from None


def _once(found: Mapping[str, Any], name: str, origin: str) -> None:
    """Which of two values counts must not hang on the order of an environment."""
    if name in found:
        variable = BY_NAME[name].variable
        raise SettingsError(f"{variable} and {variable}_FILE are both set ({origin}); keep one of them.")


def _from_environment(environment: Mapping[str, str], origin: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, value in environment.items():
        # VARSEL_SDK_… belongs to the client, which may run beside the server.
        if not variable.startswith(PREFIX) or variable in NO_SETTINGS or variable.startswith("VARSEL_SDK_"):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in BY_NAME:
            _once(found, name, origin)
            found[name] = value
        elif _names_file(name):
            secret = name.removesuffix("_file")
            _once(found, secret, origin)
            found[secret] = _from_file(value, variable)
        else:
            raise SettingsError(f"{variable} ({origin}) is not a setting; `varsel settings` lists them.")
    return found


def _read_dotenv(path: Path) -> dict[str, str]:
    found = {}
    for number, line in enumerate(_text_of(path).splitlines(), 1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"{path.name} line {number} is not NAME=VALUE.")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        if name.strip().startswith(PREFIX):
            found[name.strip()] = value
    return found


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(_text_of(path))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path.name} is not TOML: {error}.") from None
    found: dict[str, Any] = {}
    for name, value in content.items():
        if _names_file(name):
            secret = name.removesuffix("_file")
            _once(found, secret, path.name)
            found[secret] = _from_file(value, f"{name} in {path.name}")
            continue
        if name not in BY_NAME:
            raise SettingsError(f"{name} in {path.name} is not a setting; `varsel settings` lists them.")
        if isinstance(value, dict):
            raise SettingsError(f"{name} in {path.name} must be a plain value.")
        _once(found, name, path.name)
        found[name] = value
    return found


def _text_of(path: Path) -> str:
    """A file of settings; SettingsError when it is there and cannot be read."""
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SettingsError(f"The settings in {path.absolute()} cannot be read: {reason}.") from None


def _is_file(path: Path) -> bool:
    """False too in a folder that is closed to this account, as that of whoever started it by `su` may be."""
    try:
        return path.is_file()
    except OSError:
        return False
