"""Who is asked about an order, and about how many orders at once.

Orders of different groups do not wait for each other: a send condition is asked of an address that a caller chose, and a register may
be down. So each group has a share of what this worker asks about, conditions leave room for registers whatever their number, and no
creator's conditions take the room of all others.
"""

from __future__ import annotations

from collections import Counter
from typing import Final
from urllib.parse import urlsplit

from varsel.delivery.keywords import wants_names
from varsel.delivery.model import DueOrder
from varsel.store.content import OrderContent

ASKING: Final = 16  # questions of one group that are open at once
LEASED: Final = 64  # orders of one group that may be leased at once
MOST_LEASED: Final = 1024  # orders that may be leased at once
CONDITIONS: Final = 768  # of these, orders whose conditions are asked
OF_ONE: Final = 256  # and of these, orders of one creator
LARGE: Final = "large"  # whoever is asked: nobody knows before it was read


def origin_of(url: str) -> str:
    """Whom a condition asks."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def registers_for(order: DueOrder, content: OrderContent) -> str:
    """Which registers an order asks, as one word."""
    asked = ["registers"]
    organization = any(recipient.organization for recipient in content.recipients)
    if wants_names(content) and (organization or any(recipient.person for recipient in content.recipients)):
        asked.append("names")
    if order.resource_id and organization:
        asked.append("rights")
    return "+".join(asked)


def group_of(order: DueOrder, content: OrderContent) -> str:
    """Who may keep an order waiting."""
    return (
        origin_of(content.condition_endpoint) if content.condition_endpoint else registers_for(order, content)
    )


class Shares:
    """About how many orders somebody is being asked, by group and, of conditions, by creator."""

    def __init__(self) -> None:
        self._groups: Counter[str] = Counter()
        self._creators: Counter[str] = Counter()
        self._all = self._conditions = 0

    def copy(self) -> Shares:
        other = Shares()
        other._groups, other._creators = self._groups.copy(), self._creators.copy()
        other._all, other._conditions = self._all, self._conditions
        return other

    def fits(self, group: str, creator: str) -> bool:
        """Whether one more may be asked about."""
        if self._groups[group] >= LEASED or self._all >= MOST_LEASED:
            return False
        return not _is_condition(group) or (
            self._creators[creator] < OF_ONE and self._conditions < CONDITIONS
        )

    def roomy(self, group: str, creator: str) -> bool:
        """Whether so many more may be that it is worth while to look for them."""
        if self._groups[group] > LEASED // 2 or self._all > MOST_LEASED // 2:
            return False
        return not _is_condition(group) or (
            self._creators[creator] <= OF_ONE // 2 and self._conditions <= CONDITIONS // 2
        )

    def take(self, group: str, creator: str) -> None:
        self._count(group, creator, 1)

    def give(self, group: str, creator: str) -> None:
        self._count(group, creator, -1)

    def _count(self, group: str, creator: str, one: int) -> None:
        self._all += one
        self._groups[group] += one
        if not self._groups[group]:
            del self._groups[group]
        if _is_condition(group):
            self._conditions += one
            self._creators[creator] += one
            if not self._creators[creator]:
                del self._creators[creator]


def _is_condition(group: str) -> bool:
    return "://" in group
