"""The embedded PostgreSQL: a server of Varsel's own in its data directory."""

from __future__ import annotations

from varsel.store.embedded.error import EmbeddedError
from varsel.store.embedded.place import bin_dir, discard_cluster, make_data_dir
from varsel.store.embedded.server import EmbeddedServer, create_database, data_lock, drop_database, read_dsn

__all__ = [
    "EmbeddedError",
    "EmbeddedServer",
    "bin_dir",
    "create_database",
    "data_lock",
    "discard_cluster",
    "drop_database",
    "make_data_dir",
    "read_dsn",
]
