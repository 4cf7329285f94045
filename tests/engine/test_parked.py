"""Reports that wait for an operator, as `varsel reports` shows them and lets them go on (docs/reference/delivery.md 8.4)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from tests.engine.conftest import NOON, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import fed, place, statuses
from tests.support.polling import until
from varsel.channels.model import Accepted
from varsel.cli.main import run
from varsel.delivery import parked
from varsel.delivery.reports import RawReport, ReportStore, give_up
from varsel.store.database import Database

Varsel = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def varsel(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Varsel:
    """Run a command on the test's database: (exit code, output, refusal)."""
    monkeypatch.setenv("VARSEL_DATABASE_URL", database_url)

    async def command(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(run, list(words))
        told = capsys.readouterr()
        return code, told.out, told.err

    return command


async def some_dead(database: Database) -> dict[str, UUID]:
    """A report of each kind that an operator meets: reason -> id, and one that waits."""
    await ReportStore(database).store(
        [
            RawReport("link", "nobody", "DELIVRD", "Delivered", b"<MSG>1</MSG>"),
            RawReport("acs", "op-1", "Postponed", None, b'{"status":"Postponed"}'),
            RawReport("link", None, "DELIVRD", "Delivered", b"<MSG>3</MSG>"),
            RawReport("link", None, None, None, b"+4799999999 is no XML", reason="MALFORMED"),
        ]
    )
    await database.execute("update parked_report set give_up_at = clock_timestamp()")
    assert await give_up(database) == 1
    await ReportStore(database).store([RawReport("dsn", "young", "failed", "Failed_Bounced", b"mail")])
    rows = await database.fetch("select report_id, coalesce(reason, 'waits') as reason from parked_report")
    return {row["reason"]: row["report_id"] for row in rows}


async def test_dead_reports_are_listed_with_their_reasons(database: Database, varsel: Varsel) -> None:
    ids = await some_dead(database)
    code, out, _ = await varsel("reports", "list")
    assert code == 0
    lines = [line.split("\t") for line in out.splitlines()]
    assert {line[5]: line[7] for line in lines} == {
        reason: str(one) for reason, one in ids.items() if reason != "waits"
    }
    assert "99999999" not in out, "what it holds is shown by `show` alone"

    _, out, _ = await varsel("reports", "list", "--waiting", "--json")
    told: list[dict[str, Any]] = json.loads(out)
    assert [one["id"] for one in told] == sorted((one["id"] for one in told), reverse=True)
    assert {one["id"] for one in told} == {str(one) for one in ids.values()}
    [waiting] = [one for one in told if "reason" not in one]
    assert waiting["provider"] == "dsn"

    _, out, _ = await varsel("reports", "list", "--provider", "acs", "--json")
    assert [one["word"] for one in json.loads(out)] == ["Postponed"]
    _, out, _ = await varsel("reports", "list", "--limit", "1")
    assert len(out.splitlines()) == 1
    code, out, err = await varsel("reports", "list", "--reason", "NOTIFICATION_EXPIRED")
    assert (code, out) == (0, "")
    assert err


async def test_a_report_is_shown_as_it_came(database: Database, varsel: Varsel) -> None:
    ids = await some_dead(database)
    done = await varsel("reports", "show", str(ids["MALFORMED"]))
    assert done[:2] == (0, "+4799999999 is no XML\n")
    code, _, err = await varsel("reports", "show", str(UUID(int=7)))
    assert code == 1
    assert len(err.splitlines()) == 1


async def test_a_dead_report_is_applied_when_it_is_tried_again(
    database: Database, varsel: Varsel, make_worker: MakeWorker
) -> None:
    """The message became known after the report was given up."""
    ids = await some_dead(database)
    await make_worker(FakeChannel("Sms", "link:fake:80", judge=lambda m, n: Accepted("nobody")))
    order = await place(database, "+4799999999", requested_at=NOON)

    async def accepted() -> bool:
        return await statuses(database, order) == ["Accepted"]

    await until(accepted)
    assert (await varsel("reports", "retry", str(ids["RETRY_THRESHOLD_EXCEEDED"])))[0] == 0
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Delivered"]
    left = await parked.parked(database, parked.Choice())
    assert ids["RETRY_THRESHOLD_EXCEEDED"] not in {one.id for one in left}


async def test_what_says_nothing_needs_a_word_of_the_operator(
    database: Database, varsel: Varsel, make_worker: MakeWorker
) -> None:
    await make_worker(email_settle=900)
    order = await place(database, "x@example.org", requested_at=NOON)

    async def accepted() -> bool:
        return await statuses(database, order) == ["Succeeded"]

    await until(accepted)
    message = await database.fetchval("select id from notification")
    await ReportStore(database).store([RawReport("dsn", message.hex, "postponed 9.9.9", None, b"mail")])
    unread = str(await database.fetchval("select report_id from parked_report"))
    code, out, err = await varsel("reports", "retry", unread)
    assert (code, out) == (0, "0 reports are tried again.\n")
    assert "--as" in err
    for nonsense in ("Sending", "Failed_Undelivered", "Nonsense"):
        code, _, err = await varsel("reports", "retry", unread, "--as", nonsense)
        assert code == 2
        assert nonsense in err
    assert await statuses(database, order) == ["Succeeded"]
    assert (await varsel("reports", "retry", unread, "--as", "Failed_Quarantined"))[0] == 0
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Failed_Quarantined"]


async def test_all_that_can_be_tried_is(database: Database, varsel: Varsel) -> None:
    ids = await some_dead(database)
    code, out, err = await varsel("reports", "retry", "--all")
    assert (code, out) == (0, "1 report is tried again.\n")
    assert err.startswith("3 cannot be")
    found = {one.id: one for one in await parked.parked(database, parked.Choice(), waiting=True)}
    again = found[ids["RETRY_THRESHOLD_EXCEEDED"]]
    assert again.dead_at is None
    assert again.attempts == 2
    assert again.give_up_at > again.received_at
    assert found[ids["MALFORMED"]].attempts == 1


async def test_dropped_reports_are_gone_and_what_came_stays(database: Database, varsel: Varsel) -> None:
    ids = await some_dead(database)
    assert (await varsel("reports", "drop", "--all", "--reason", "MALFORMED"))[:2] == (
        0,
        "1 report is dropped.\n",
    )
    assert (await varsel("reports", "drop", "--all"))[1] == "3 reports are dropped.\n"
    left = await parked.parked(database, parked.Choice(), waiting=True)
    assert [one.id for one in left] == [ids["waits"]], "what waits by itself is dropped by name alone"
    assert (await varsel("reports", "drop", str(ids["waits"])))[0] == 0
    assert (await varsel("reports", "drop", str(ids["waits"])))[0] == 1
    assert await database.fetchval("select count(*) from report") == 5


async def test_all_are_meant_however_many_there_are(database: Database, varsel: Varsel) -> None:
    number = parked.MOST + 3
    await database.execute(
        "insert into parked_report (report_id, provider, reference, status, received_at, give_up_at, reason, dead_at) "
        "select uuidv7(), 'link', case when n > 2 then 'r' || n end, 'Delivered', now(), now(), 'MALFORMED', now() "
        "from generate_series(1, $1) n",
        number,
    )
    code, out, err = await varsel("reports", "retry", "--all")
    assert (code, out) == (0, f"{number - 2} reports are tried again.\n")
    assert err.startswith("2 cannot be")
    await database.execute("update parked_report set dead_at = now() where dead_at is null")
    assert (await varsel("reports", "drop", "--all"))[1] == f"{number} reports are dropped.\n"


@pytest.mark.parametrize(
    ("words", "span"),
    [
        (("words", "--days", "30000"), "0 to 10000"),
        (("words", "--days", "800000"), "0 to 10000"),
        (("words", "--days", "-1"), "0 to 10000"),
        (("list", "--limit", "99999999999999999999"), "1 to 100000"),
        (("list", "--limit", "0"), "1 to 100000"),
    ],
)
async def test_numbers_out_of_range_are_told(varsel: Varsel, words: tuple[str, ...], span: str) -> None:
    code, out, err = await varsel("reports", *words)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert span in err


@pytest.mark.parametrize("words", [("retry",), ("drop",), ("retry", "--all", str(UUID(int=1)))])
async def test_it_says_which_reports_are_meant(varsel: Varsel, words: tuple[str, ...]) -> None:
    code, _, err = await varsel("reports", *words)
    assert code == 2
    assert len(err.splitlines()) == 1


async def test_words_that_nobody_knows_are_marked(database: Database, varsel: Varsel) -> None:
    await ReportStore(database).store(
        [RawReport("link", f"r{n}", "DELIVRD", "Delivered", b"x") for n in range(3)]
        + [RawReport("link", "r4", "SOMETHINGNEW", "Failed", b"x"), RawReport("acs", "o", "Odd", None, b"x")]
    )
    _, out, _ = await varsel("reports", "words", "--json")
    told = {one["word"]: (one["number"], one["familiar"]) for one in json.loads(out)}
    assert told == {"DELIVRD": (3, True), "SOMETHINGNEW": (1, False), "Odd": (1, False)}
    _, out, _ = await varsel("reports", "words")
    assert "SOMETHINGNEW (unknown)" in out
    assert (await varsel("reports", "words", "--days", "10000"))[1] == out
    _, out, err = await varsel("reports", "words", "--days", "0")
    assert not out
    assert err
