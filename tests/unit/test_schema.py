from __future__ import annotations

import asyncpg

from varsel.store.embedded import create_database, drop_database
from varsel.store.schema import committed, dump


async def test_migrations_and_the_schema_file_agree(database_url: str) -> None:
    assert await dump(database_url) == committed(), "run `make schema` and look at what changed"


async def test_the_schema_file_makes_the_same_schema(server_dsn: str) -> None:
    url = await create_database(server_dsn, "from_schema_file")
    connection = await asyncpg.connect(url)
    await connection.execute(committed())
    await connection.close()
    assert await dump(url) == committed()
    await drop_database(server_dsn, "from_schema_file")
