"""`varsel settings`: the settings table, for people."""

from __future__ import annotations

from varsel.cli.terminal import say
from varsel.runtime.setting_kinds import Setting
from varsel.runtime.settings import SETTINGS


def settings() -> None:
    for setting in SETTINGS:
        default = f", default {spelled(setting)}" if spelled(setting) else ""
        say(f"{setting.variable} ({kind(setting)}{default})")
        say(f"    {setting.sentence}")


def kind(setting: Setting) -> str:
    """What a value must be, in a word or by its choices."""
    if setting.least:
        return f"{setting.kind} from {setting.least}"
    return " or ".join(setting.choices) or setting.kind


def spelled(setting: Setting) -> str:
    """The default as one would write it; empty when there is none."""
    if isinstance(setting.default, bool):
        return "true" if setting.default else "false"
    return str(setting.default)
