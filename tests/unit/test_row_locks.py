"""Row locks stand on one table: PostgreSQL 18.6 passes rows over, or crashes, above joins that prune partitions (decision 0002)."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from varsel.store.partitions import MONTHLY

_LOCK = re.compile(r"\bfor (?:update|no key update|share|key share)\b")
_PARTITIONED = re.compile(rf"\b(?:{'|'.join((*MONTHLY, 'feed'))})\b")
ROOMS = ("orders", "delivery", "review", "identity", "sandbox", "store", "recipients", "console")


def unsafe(statement: str) -> list[str]:
    """The selects of a statement that lock rows above a join with a partitioned table."""
    text = re.sub(r"--.*", "", statement).lower()
    found = []
    for lock in _LOCK.finditer(text):
        select = text[text.rindex("select", 0, lock.start()) : lock.end()]
        tables = select.partition(" from ")[2].partition(" where ")[0] or select.partition("\nfrom ")[2]
        if (" join " in select or "," in tables.partition("\nwhere")[0]) and _PARTITIONED.search(tables):
            found.append(select)
    return found


def statements() -> list[tuple[str, str]]:
    found = []
    for room in ROOMS:
        folder = resources.files(f"varsel.{room}") / "sql"
        if folder.is_dir():
            for file in folder.iterdir():
                for part in file.read_text("utf-8").split("-- name: ")[1:]:
                    found.append((f"{room}/{file.name}: {part.split()[0]}", part.partition("\n")[2]))
    return found


def test_no_statement_locks_rows_above_such_a_join() -> None:
    read = statements()
    assert sum(bool(_LOCK.search(text)) for _, text in read) > 15
    assert {name: found for name, text in read if (found := unsafe(text))} == {}


@pytest.mark.parametrize(
    "statement",
    [
        "select d.order_id from due d join orders o on o.id = d.order_id where d.owner is null for update of d, o skip locked",
        "select o.id\nfrom due d\n    join orders o on o.id = d.order_id\nwhere d.owner = $1\nfor update of o",
        "with alive as (select o.id from w, orders o where o.id = w.order_id order by o.id for share of o) select 1",
    ],
)
def test_the_check_finds_one(statement: str) -> None:
    assert unsafe(statement)
