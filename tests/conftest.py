"""Fixtures for the whole suite."""

from __future__ import annotations

from tests.support.database import database, database_url, empty_database_url, server_dsn, spares, template

__all__ = ["database", "database_url", "empty_database_url", "server_dsn", "spares", "template"]
