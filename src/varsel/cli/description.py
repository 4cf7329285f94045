"""The description of the whole API as a file: `python -m varsel.cli.description docs/reference/openapi.json` (`make openapi`)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from varsel.delivery.routes import ENDPOINTS as DELIVERY
from varsel.delivery.triggers import ENDPOINTS as TRIGGERS
from varsel.orders.endpoints import ENDPOINTS as ORDERS
from varsel.orders.internal import ENDPOINTS as INTERNAL
from varsel.review.operations import ENDPOINTS as OPERATIONS
from varsel.review.routes import ENDPOINTS as REVIEW
from varsel.review.webhooks import ENDPOINTS as WEBHOOKS
from varsel.runtime.endpoints import Endpoint
from varsel.runtime.openapi import document
from varsel.runtime.settings import Settings
from varsel.runtime.site import ENDPOINTS as SITE
from varsel.sandbox.routes import ENDPOINTS as SANDBOX

#: What the router of a sandbox with every role serves.
ROUTED: Final[tuple[Endpoint, ...]] = (
    *ORDERS,
    *INTERNAL,
    *REVIEW,
    *OPERATIONS,
    *WEBHOOKS,
    *DELIVERY,
    *TRIGGERS,
    *SANDBOX,
)
#: With what stands around it.
ENDPOINTS: Final[tuple[Endpoint, ...]] = (*ROUTED, *SITE)
#: Where the committed copy tells that the API is.
HOST: Final = "https://varsel.example.org"


def description(*, internal: bool = False) -> bytes:
    """The OpenAPI document; what only the internal listener serves is left out unless `internal`."""
    return document(ENDPOINTS, Settings(public_url=HOST), internal=internal)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(description())
