"""`make bench`: each row is a ratio or a figure with its limit; both sides of a ratio are measured in the same run.

Interleaved rounds and medians where rounds are short. Absolute figures are reported; ratios, and figures by CPU, are judged: machines
differ and are noisy. Name groups to measure these alone: make bench ARGS="drain held".
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.rows import Group, How, Row

#: group -> `module:function`, in the order in which they are measured.
GROUPS = {
    "start": "bench.accepting:start",
    "accept": "bench.accepting:accept",
    "lookups": "bench.lookups:lookups",
    "reads": "bench.reads:reads",
    "latency": "bench.accepting:latency",
    "drain": "bench.draining:drains",
    "raw": "bench.draining:raw",
    "held": "bench.draining:held",
    "instant": "bench.draining:instant",
    "plan": "bench.resting:plan",
    "idle": "bench.resting:idle",
    "tokens": "bench.tokens:tokens",
    "client": "bench.client:client",
}


def group(name: str) -> Group:
    module, _, function = GROUPS[name].partition(":")
    found: Group = getattr(importlib.import_module(module), function)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; all without one")
    parser.add_argument("--long", action="store_true", help="larger counts and longer times")
    options = parser.parse_args()
    for name in options.groups:
        if name not in GROUPS:
            parser.error(f"there is no group {name}; groups are {', '.join(GROUPS)}")
    console = Console()
    rows: list[Row] = []
    begun = time.monotonic()
    with console.status("") as status:
        for name in options.groups or GROUPS:
            started = time.monotonic()
            measured = group(name)(How(options.long, status.update))
            rows += measured
            # Told as they come: the whole takes minutes.
            for row in measured:
                console.print(f"{row.name}: {row.value:,.2f} {row.unit}".rstrip(), highlight=False)
            console.print(f"[dim]{name}: {time.monotonic() - started:.0f} s[/]", highlight=False)
    table = Table("row", "value", "limit", "", "figures")
    for row in rows:
        mark = "" if row.met is None else "met" if row.met else "NOT MET"
        shown = ", ".join(f"{name} {value}" for name, value in row.figures.items())
        table.add_row(row.name, f"{row.value:,.2f} {row.unit}".strip(), row.limit, mark, shown)
    console.print(table)
    console.print(f"{time.monotonic() - begun:.0f} s in all")
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    (out / "latest.json").write_text(json.dumps([vars(row) for row in rows], indent=2))
    missed = [row.name for row in rows if row.met is False]
    console.print("Every limit is met." if not missed else f"Not met: {', '.join(missed)}.")


if __name__ == "__main__":
    main()
