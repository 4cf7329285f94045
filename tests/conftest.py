"""Fixtures for the whole suite."""

from __future__ import annotations

import shutil

import pytest

from tests.support.database import database, database_url, empty_database_url, server_dsn, spares, template

__all__ = ["database", "database_url", "empty_database_url", "server_dsn", "spares", "template"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Python, git and make are enough for the suite; where a test runs a program beside them, the report says what is left out."""
    found: dict[str, bool] = {}
    for item in items:
        wanted = [program for marker in item.iter_markers("needs") for program in marker.args]
        wanted += ["chromium"] if item.get_closest_marker("browser") else []
        found |= {program: shutil.which(program) is not None for program in wanted if program not in found}
        absent = [program for program in wanted if not found[program]]
        if absent:
            item.add_marker(pytest.mark.skip(reason=f"not installed here: {', '.join(absent)}"))
