"""What operators and their schedulers call: metrics, triggers, and the condition stub (docs/reference/notifications-api.md 2.19–2.24).

Workers wake by themselves, so these triggers only make them look at once; nothing depends on anybody calling them. The two that work
through orders are in `varsel.delivery.triggers`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog

from varsel.review import figures, query
from varsel.review.daily import DailyFiles, Kind
from varsel.review.parameters import in_query
from varsel.review.wire import ConditionAnswer
from varsel.runtime.clock import Calendar
from varsel.runtime.endpoints import BASE, Call, Endpoint, Policy, Reply, trigger
from varsel.runtime.errors import BodyProblem
from varsel.runtime.problems import pretty
from varsel.store import queries
from varsel.store.database import Database

_sql = queries.load("varsel.review")
log = structlog.get_logger("varsel.review")

JSON: Final = ("application/json",)
_HTML: Final = b"text/html; charset=utf-8"
_TEXT: Final = b"text/plain; charset=utf-8"
_FILE: Final = b"application/octet-stream"

#: Feed entries that one call deletes at most (2.22).
DELETED_AT_ONCE: Final = 10_000


ENDPOINTS: Final = (
    Endpoint(
        "GET",
        f"{BASE}/metrics",
        "get_figures_form",
        Policy.INTERNAL,
        "Monthly metrics, form",
        responses={200: "text/html"},
        internal=True,
        description="A page with a form for a month and a year.",
    ),
    Endpoint(
        "POST",
        f"{BASE}/metrics",
        "get_figures",
        Policy.INTERNAL,
        "Monthly metrics",
        responses={200: "text/html"},
        problems=(400, 413),
        internal=True,
        description=(
            "Takes the form's `month` and `year`, urlencoded or multipart, and shows orders and notifications by creator for orders "
            "with a send time in that month, UTC. SMS are counted in segments."
        ),
    ),
    Endpoint(
        "POST",
        f"{BASE}/metrics/sms",
        "get_daily_sms",
        Policy.METRICS_KEY,
        "Daily SMS metrics file",
        responses={200: "application/octet-stream"},
        problems=(401, 500),
        description="Yesterday's SMS that reached a final result, as Parquet; headers give hash, size and number of rows.",
    ),
    Endpoint(
        "POST",
        f"{BASE}/metrics/email",
        "get_daily_email",
        Policy.METRICS_KEY,
        "Daily e-mail metrics file",
        responses={200: "application/octet-stream"},
        problems=(401, 500),
        description="Yesterday's e-mails that reached a final result, as Parquet; headers give hash, size and number of rows.",
    ),
    trigger("sendemail", "wake_email", "Send e-mail", "Makes the workers look for waiting e-mail at once."),
    trigger("sendsms", "wake_sms", "Send daytime SMS", "The same as `sendsmsdaytime`."),
    trigger(
        "sendsmsdaytime",
        "wake_sms_daytime",
        "Send daytime SMS",
        "Makes the workers look for waiting SMS at once; the daytime window holds whoever calls.",
    ),
    trigger(
        "sendsmsanytime", "wake_sms_anytime", "Send SMS", "Makes the workers look for waiting SMS at once."
    ),
    trigger(
        "deleteoldstatusfeedrecords",
        "delete_old_feed",
        "Delete old feed entries",
        "Deletes feed entries whose retention time is over, at most 10,000 in one call.",
    ),
    Endpoint(
        "GET",
        f"{BASE}/tests/sendcondition",
        "get_condition",
        Policy.OPEN,
        "Condition stub",
        consumes=JSON,
        responses={200: ConditionAnswer},
        problems=(415,),
        description="A condition endpoint for tests: answers what `conditionMet` says, and false when that is no boolean.",
        parameters=(
            in_query("conditionMet", {"type": "string"}, "`true` or `false`, in any letter case.", "true"),
        ),
    ),
)


class Operations:
    """Answers of the endpoints above."""

    def __init__(
        self, database: Database, calendar: Calendar, daily: DailyFiles, *, keep_feed: timedelta
    ) -> None:
        self._database = database
        self._calendar = calendar
        self._daily = daily
        self._keep_feed = keep_feed

    # -- metrics ---------------------------------------------------------------------------------------------------

    async def get_figures_form(self, call: Call) -> Reply:
        return Reply(200, figures.page(self._calendar.now()), figures.HEADERS, _HTML)

    async def get_figures(self, call: Call) -> Reply:
        month = figures.form(call.body, call.header(b"content-type"))
        found = await figures.lines(self._database, month)
        return Reply(200, figures.page(self._calendar.now(), month, found), figures.HEADERS, _HTML)

    async def get_daily_sms(self, call: Call) -> Reply:
        return await self._file("sms")

    async def get_daily_email(self, call: Call) -> Reply:
        return await self._file("email")

    async def _file(self, kind: Kind) -> Reply:
        made = await self._daily.make(kind, self._calendar.now())
        return Reply(200, made.content, made.headers, _FILE)

    # -- triggers --------------------------------------------------------------------------------------------------

    def _woken(self, *topics: str) -> Reply:
        self._database.wake(*topics)
        return Reply(200, content_type=None)

    async def wake_email(self, call: Call) -> Reply:
        return self._woken("ready")

    async def wake_sms(self, call: Call) -> Reply:
        return self._woken("ready")

    async def wake_sms_daytime(self, call: Call) -> Reply:
        return self._woken("ready")

    async def wake_sms_anytime(self, call: Call) -> Reply:
        return self._woken("ready")

    async def delete_old_feed(self, call: Call) -> Reply:
        try:
            done = await self._database.execute(
                _sql.delete_old_feed, self._calendar.now() - self._keep_feed, DELETED_AT_ONCE
            )
        except Exception:
            log.exception("old feed entries could not be deleted", action="review.feed_not_cleaned")
            raise BodyProblem(500, b"Old feed entries could not be deleted.", _TEXT) from None
        log.info(
            "old feed entries were deleted",
            action="review.feed_cleaned",
            entries=int(done.rpartition(" ")[2]),
        )
        return Reply(200, content_type=None)

    # -- stub ------------------------------------------------------------------------------------------------------

    async def get_condition(self, call: Call) -> Reply:
        given = query.parameters(call.query).get("conditionmet", "")
        return Reply(200, pretty(ConditionAnswer(given.strip().lower() == "true")))
