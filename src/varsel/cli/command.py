"""One row of the table of commands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `words` is its name, with its group before it; `where` is `module:function`."""

    words: str
    where: str
    sentence: str
    examples: tuple[str, ...]
