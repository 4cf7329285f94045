"""A feed entry as bytes (docs/reference/notifications-api.md 2.16; pure).

An entry is kept as it will be served: two spaces of indentation inside an array, beginning right behind the
`"sequenceNumber": N` that a page puts before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from varsel.runtime.times import wire_time
from varsel.store import states

_text = msgspec.json.Encoder().encode


def written(text: str) -> str:
    """A text as it stands in an entry."""
    return _text(text).decode()


def feed_entry(
    *,
    order_id: UUID,
    kind: str,
    senders_reference: str | None,
    state: str,
    ended_at: datetime,
    recipients: Iterable[tuple[str, str, str, datetime]],
) -> bytes:
    """`recipients` are (channel, address, status, status time), e-mail before SMS, in planned order."""
    lines = [
        b',\n      {\n        "destination": %b,\n        "status": "%b",\n        "lastUpdate": "%b"\n      }'
        % (_text(address), states.lifecycle(channel, status).encode(), wire_time(at).encode())
        for channel, address, status, at in recipients
    ]
    reference = (
        b"" if senders_reference is None else b'\n    "sendersReference": %b,' % _text(senders_reference)
    )
    listed = b"[" + b"".join(lines)[1:] + b"\n    ]" if lines else b"[]"
    return b"".join(
        (
            b',\n    "shipmentId": "%b",' % str(order_id).encode(),
            reference,
            b'\n    "recipients": %b,' % listed,
            b'\n    "status": "%b",' % states.ORDER_LIFECYCLE[state].encode(),
            b'\n    "lastUpdate": "%b",' % wire_time(ended_at).encode(),
            b'\n    "shipmentType": "%b"\n  }' % kind.encode(),
        )
    )
