"""Final results: applied by rank, counted, and the order ended when nothing of it is left (promise 6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from varsel.delivery.fallback import fall_back
from varsel.delivery.finish import finish
from varsel.delivery.model import Ended
from varsel.delivery.window import Window
from varsel.runtime.metrics import counter
from varsel.runtime.steps import step
from varsel.store import queries, states
from varsel.store.database import Connection

_sql = queries.load("varsel.delivery")
_ended = counter("orders_ended")


@dataclass(frozen=True, slots=True)
class Concluded:
    """`finished`: how many orders came to their end; `corrected`: messages changed after their order was fed; `revived`: how
    many orders go on over their other channel.
    """

    finished: int = 0
    corrected: tuple[tuple[UUID, UUID], ...] = ()
    revived: int = 0

    @property
    def tells(self) -> bool:
        """Whether somebody must look at something now."""
        return bool(self.finished or self.corrected or self.revived)


async def lock_orders(connection: Connection, order_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Lock orders in one order for everybody, before anything of them changes; their states."""
    rows = await connection.fetch(_sql.lock_orders, sorted(set(order_ids)))
    return {row["id"]: row["state"] for row in rows}


def fold(ended: Iterable[Ended]) -> list[Ended]:
    """One result a message, the highest in rank: the order and repetition of results must not matter."""
    best: dict[UUID, Ended] = {}
    for one in ended:
        known = best.get(one.notification_id)
        if known is None or known.rank < one.rank:
            best[one.notification_id] = one
    return list(best.values())


async def conclude(
    connection: Connection, ended: Iterable[Ended], now: datetime, window: Window
) -> Concluded:
    """Apply final results whose orders are locked by `lock_orders`. Wake "feed" after the commit when orders finished."""
    rows = fold(ended)
    if not rows:
        return Concluded()
    found = await connection.fetch(
        _sql.raise_status,
        [row.order_id for row in rows],
        [row.notification_id for row in rows],
        [row.status for row in rows],
        [row.rank for row in rows],
        [row.settled_by for row in rows],
        now,
    )
    await connection.execute(
        _sql.leave_queues, [row.notification_id for row in rows if row.rank >= states.FINAL]
    )
    over = [row["order_id"] for row in found if row["complete"]]
    revived = await fall_back(connection, over, now, window)
    finished = await finish(connection, (order_id for order_id in over if order_id not in revived), now)
    return Concluded(
        finished,
        tuple((row["order_id"], row["notification_id"]) for row in found if row["corrected"]),
        len(revived),
    )


def passed(concluded: Concluded) -> None:
    """Call after the commit: orders that ended are counted, and their step is passed."""
    if concluded.finished:
        _ended.labels("Completed").inc(concluded.finished)
        step("finish.committed")
