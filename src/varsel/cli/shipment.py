"""`varsel shipment show`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from varsel.cli.calling import Json, Where, caller, print_json, told
from varsel.cli.orders import show_shipment
from varsel.cli.terminal import waiting


def show(
    id: Annotated[str, Parameter(help="Shipment id, from the receipt.")],  # noqa: A002
    /,
    *,
    wait: Annotated[bool, Parameter(negative="", help="Wait for its end.")] = False,
    timeout: Annotated[float, Parameter(help="Seconds that --wait takes at most.")] = 60.0,
    where: Where | None = None,
    json: Json = False,
) -> None:
    with told():
        who = caller(where)
        try:
            api = who.notifications()
            if wait:
                with waiting(f"Waiting for the end of shipment {id}"):
                    found = api.wait_until_final(id, timeout=timeout)
            else:
                found = api.shipment(id)
        finally:
            who.close()
    if json:
        print_json(found)
    else:
        show_shipment(found)
