"""The schema as one file to read: `schema.sql`, dumped from a migrated database (`make schema`).

The migrations are what is applied; a test fails when the file and they part ways.
"""

from __future__ import annotations

import asyncio
import re
import sys
from importlib import resources
from pathlib import Path

from varsel.runtime.errors import OperatorError
from varsel.store.embedded import bin_dir
from varsel.store.partitions import MONTHLY

_NOISE = re.compile(r"^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*)\n", re.MULTILINE)

HEADER = (
    "-- The whole schema, without the partitions of each month; written by `make schema`, not by hand.\n\n"
)


class SchemaError(OperatorError):
    """The schema could not be read."""


async def dump(dsn: str) -> str:
    """The schema of the database at `dsn` as SQL in a fixed form: no owners, no settings, no partitions."""
    partitions = [f"--exclude-table={table}_[0-9]*" for table in (*MONTHLY, "feed")]
    process = await asyncio.create_subprocess_exec(
        str(bin_dir() / "pg_dump"),
        "--schema-only",
        "--no-owner",
        "--no-privileges",
        *partitions,
        dsn,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode:
        raise SchemaError(f"pg_dump: {err.decode('utf-8', 'replace').strip()}")
    text = _NOISE.sub("", out.decode("utf-8"))
    return HEADER + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def committed() -> str:
    """The file as it is shipped."""
    return (resources.files("varsel.store") / "schema.sql").read_text("utf-8")


async def _migrated(folder: Path) -> str:
    from varsel.store.embedded import EmbeddedServer
    from varsel.store.migrations import migrate

    server = EmbeddedServer(folder)
    await server.start()
    try:
        await migrate(server.dsn)
        return await dump(server.dsn)
    finally:
        await server.stop()


def main() -> None:
    """Migrate an empty database on a server of its own and write what it then holds."""
    import shutil
    import tempfile

    from varsel.store.embedded import discard_cluster

    folder = Path(tempfile.mkdtemp(prefix="varsel-schema-"))
    folder.chmod(0o711)
    text = asyncio.run(_migrated(folder / "data"))
    discard_cluster(folder / "data")
    shutil.rmtree(folder)
    Path(__file__).with_name("schema.sql").write_text(text, "utf-8")
    sys.stdout.write("src/varsel/store/schema.sql is written.\n")


if __name__ == "__main__":
    main()
