"""Fixtures for the whole suite."""

from __future__ import annotations

import shutil

import pytest

from tests.support.database import database, database_url, empty_database_url, server_dsn, spares, template

__all__ = ["database", "database_url", "empty_database_url", "server_dsn", "spares", "template"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pages are driven where a Chromium is; elsewhere the report says what is left out."""
    if shutil.which("chromium"):
        return
    absent = pytest.mark.skip(reason="needs Chromium: apt-get install chromium")
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(absent)
