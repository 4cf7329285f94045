"""The daily metrics files: yesterday's finished notifications as Parquet (docs/reference/notifications-api.md 2.20, 2.21).

Rows come through a cursor and leave as row groups, so memory holds the file and one batch, however many there are. pyarrow is
imported here and only when a file is asked for: it costs more to import than the rest of Varsel.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal

from varsel.store import queries
from varsel.store.database import Database

_sql = queries.load("varsel.review")

BATCH: Final = 5_000
#: Seconds one step of the cursor may take.
LIMIT: Final = 300.0

Kind = Literal["sms", "email"]


@dataclass(frozen=True, slots=True)
class DailyFile:
    """A finished file and what its headers say."""

    name: str
    rows: int
    generated_at: str
    environment: str
    content: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return (
            (b"content-disposition", f'attachment; filename="{self.name}"'.encode("latin-1", "replace")),
            (b"x-file-hash", base64.b64encode(self.digest)),
            (b"x-file-size", b"%d" % len(self.content)),
            (b"x-total-filetransfer-count", b"%d" % self.rows),
            (b"x-generated-at", self.generated_at.encode()),
            (b"x-environment", self.environment.encode("latin-1", "replace")),
        )


def round_trip(moment: datetime) -> str:
    """`2031-03-14T08:00:00.1234560`: seven digits of a second, as the readers of these files expect; the zone is the caller's."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0"


def rate(number: str) -> str:
    """`innland`, `utland`, or `n/a` without a number."""
    text = number.strip()
    if not text:
        return "n/a"
    for prefix in ("+", "00"):
        if text.startswith(prefix):
            return "innland" if text.removeprefix(prefix).lstrip(" ").startswith("47") else "utland"
    return "utland"


def _shared(row: Any) -> list[Any]:
    return [
        row["serial"],
        str(row["id"]),
        row["senders_reference"] or b"",
        round_trip(row["requested_at"].astimezone(UTC)) + "Z",
        row["creator"],
        row["resource_id"],
        row["status"],
        row["reference"] or "",
    ]


def _sms(row: Any) -> list[Any]:
    length, customized = row["body_length"] or 0, row["customized"]
    return [
        *_shared(row),
        rate(row["address"]),
        row["address"][:4],
        row["sms_parts"] or 0,
        (row["template_length"] or 0) if customized else length,
        length if customized else 0,
    ]


def _schema(kind: Kind) -> Any:
    import pyarrow as pa

    text, number = pa.string(), pa.int32()
    columns = [
        ("SmsId" if kind == "sms" else "EmailId", pa.int64(), False),
        ("ShipmentId", text, False),
        ("SendersReference", text, False),
        ("RequestedSendTime", text, False),
        ("CreatorName", text, False),
        ("ResourceId", text, True),
        ("Result", text, False),
        ("GatewayReference" if kind == "sms" else "OperationId", text, False),
    ]
    if kind == "sms":
        columns += [
            ("Rate", text, False),
            ("MobileNumberPrefix", text, False),
            ("AltinnSmsCount", number, False),
            ("AltinnSmsBodyLength", number, False),
            ("AltinnSmsCustomBodyLength", number, False),
        ]
    return pa.schema([pa.field(name, kind_, nullable=null) for name, kind_, null in columns])


class _Writer:
    """Collects batches into one Parquet file; every method runs in a thread."""

    def __init__(self, kind: Kind) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._schema = _schema(kind)
        self._shape: Callable[[Any], list[Any]] = _sms if kind == "sms" else _shared
        self._sink = pa.BufferOutputStream()
        self._parquet = parquet.ParquetWriter(self._sink, self._schema)
        self.rows = 0

    def add(self, rows: Sequence[Any]) -> None:
        import pyarrow as pa

        columns = list(zip(*map(self._shape, rows), strict=True))
        arrays = [pa.array(values, column.type) for values, column in zip(columns, self._schema, strict=True)]
        self._parquet.write_batch(pa.record_batch(arrays, schema=self._schema))
        self.rows += len(rows)

    def finish(self) -> tuple[bytes, bytes]:
        """The file and its MD5."""
        self._parquet.close()
        content = bytes(self._sink.getvalue())
        return content, hashlib.md5(content, usedforsecurity=False).digest()


class DailyFiles:
    """Makes the files, one at a time: each may hold a day of the whole country."""

    def __init__(self, database: Database, environment: str) -> None:
        self._database = database
        self._environment = environment or "Unknown"
        self._one = asyncio.Lock()

    async def make(self, kind: Kind, now: datetime) -> DailyFile:
        """The file of the UTC day before `now`."""
        day = (now - timedelta(days=1)).date()
        async with self._one:
            writer = await asyncio.to_thread(_Writer, kind)
            await self._fill(writer, kind, day)
            content, digest = await asyncio.to_thread(writer.finish)
        name = f"{day:%Y%m%d}_{kind}_notifications_{self._environment}.parquet"
        return DailyFile(name, writer.rows, round_trip(now) + "+00:00", self._environment, content, digest)

    async def _fill(self, writer: _Writer, kind: Kind, day: date) -> None:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        query = _sql.daily_sms if kind == "sms" else _sql.daily_email
        async with self._database.transaction() as connection:
            cursor = await connection.cursor(query, start, start + timedelta(days=1), timeout=LIMIT)
            while rows := await cursor.fetch(BATCH, timeout=LIMIT):
                await asyncio.to_thread(writer.add, rows)
