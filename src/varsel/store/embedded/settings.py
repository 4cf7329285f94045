"""Settings of the embedded server and who may connect to it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from varsel.store.embedded.place import replace_file

# The bootstrap superuser and the database of Varsel.
ROLE = "varsel"
DATABASE = "varsel"

# Names the socket only; the server does not listen on TCP.
PORT = 5432

BASE: Mapping[str, str] = {
    # Promise 1: a commit that was answered is on disk.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",
    "max_wal_senders": "3",
    # Bounds the replay after a kill -9: a start stays within a few seconds.
    "max_wal_size": "512MB",
    "min_wal_size": "80MB",
    "checkpoint_timeout": "5min",
    "checkpoint_completion_target": "0.9",
    "wal_buffers": "8MB",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(PORT),
    "max_connections": "60",
    "shared_buffers": "96MB",
    "huge_pages": "off",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "effective_cache_size": "512MB",
    "random_page_cost": "1.1",
    # No helpers that a small machine pays for at rest: I/O workers, parallel workers, logical replication.
    "io_method": "sync",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    # A month's partitions and their indexes are locked together by retention.
    "max_locks_per_transaction": "128",
    # Queue tables turn over many times their size, and are cleaned once a minute. Oftener costs more than all else beside a long
    # transaction, when each attempt is in vain (docs/decisions/0010-queue-plans.md).
    "autovacuum_naptime": "60s",
    "autovacuum_max_workers": "2",
    "autovacuum_vacuum_cost_limit": "1000",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "datestyle": "ISO",
    # Promise 8: statements, parameters, row values and client errors (which quote them) stay out of the log.
    "logging_collector": "on",
    "log_destination": "stderr",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_file_mode": "0600",
    "log_line_prefix": "%m [%p] ",
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_autovacuum_min_duration": "-1",
    "log_checkpoints": "off",
}


def arguments(settings: Mapping[str, str]) -> list[str]:
    """Command line form; it wins over every file in the cluster, so an edited or restored file cannot undo it."""
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def access_rules() -> str:
    """pg_hba.conf: the kernel's word on who is at the other end of the socket, nothing else."""
    return f"local all {ROLE} peer map=varsel\nlocal replication {ROLE} peer map=varsel\n"


def account_map(names: list[str]) -> str:
    """pg_ident.conf: the operating system accounts that may be the role."""
    quoted = ('"' + name.replace('"', '""') + '"' for name in names)
    return "".join(f"varsel {account} {ROLE}\n" for account in quoted)


def write_access(folder: Path, names: list[str]) -> dict[str, str]:
    """Write both files into `folder` and return the settings that name them.

    They live beside the cluster, not in it: as root Varsel must not write into a folder of another account.
    """
    files = {
        "hba_file": ("pg_hba.conf", access_rules()),
        "ident_file": ("pg_ident.conf", account_map(names)),
    }
    for name, text in files.values():
        os.close(replace_file(folder, name, text.encode(), 0o644))
    return {setting: str(folder / name) for setting, (name, _) in files.items()}
