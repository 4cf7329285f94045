"""docs/security.md and the tests tell the same story."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| (.+) \|")
_NAMED = re.compile(r"`([\w/]+\.py)`: ((?:`test_\w+`(?:, )?)+)")
_NUMBERED = re.compile(r"test_(?:attack_)?0?(\d\d)_\w+")


def in_the_table() -> dict[int, set[tuple[str, str]]]:
    found: dict[int, set[tuple[str, str]]] = {}
    for line in (ROOT / "docs" / "security.md").read_text("utf-8").splitlines():
        row = _ROW.fullmatch(line)
        if row is None:
            continue
        number = int(row[1])
        assert number not in found, f"line {number} stands twice"
        assert all(cell.strip() for cell in row.groups()), f"line {number} leaves something open"
        found[number] = {
            (file, name) for file, names in _NAMED.findall(row[5]) for name in re.findall(r"test_\w+", names)
        }
    return found


def in_the_tests() -> dict[int, set[tuple[str, str]]]:
    found: dict[int, set[tuple[str, str]]] = defaultdict(set)
    for folder in ("security", "console", "client"):
        for path in (ROOT / "tests" / folder).glob("test_*.py"):
            for node in ast.parse(path.read_text("utf-8")).body:
                if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    continue
                name = _NUMBERED.fullmatch(node.name)
                if name is not None:
                    found[int(name[1])].add((f"{folder}/{path.name}", node.name))
    return found


def test_every_line_of_the_attack_list_has_its_tests_in_the_table() -> None:
    told, written = in_the_table(), in_the_tests()
    assert sorted(told) == list(range(1, 91))
    for line, tests in told.items():
        assert tests, f"line {line} names no test"
        assert tests == written[line], f"line {line}"
    assert not set(written) - set(told)
