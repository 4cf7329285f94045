"""Named steps on the way of an order, where a test may kill or hold the process.

`step("intent.committed")` does nothing unless VARSEL_FAULT_STEP names it: then the process ends at once, as by kill -9. A number
after a colon (`intent.committed:3`) lets the step pass that many times first. The chaos suite walks through STEPS.
"""

from __future__ import annotations

import os
import signal
from typing import Final

#: step -> what has just happened there.
STEPS: Final[dict[str, str]] = {
    "accept.before_commit": "orders validated, nothing stored",
    "accept.committed": "orders stored, callers not answered",
    "due.claimed": "due orders leased",
    "plan.before_commit": "recipients resolved, plan not stored",
    "plan.committed": "notifications stored",
    "send.claimed": "messages leased",
    "intent.before_commit": "provider ready, intent not stored",
    "intent.committed": "intent stored, nothing written to the provider",
    "send.written": "message written to the provider, answer not read",
    "send.answered": "answer read, outcome not stored",
    "outcome.before_commit": "outcome about to be stored",
    "outcome.committed": "outcome stored",
    "report.stored": "report stored, gateway not answered",
    "report.applied": "report applied",
    "finish.committed": "order ended, feed entry without number",
    "feed.numbered": "feed entries numbered",
    "instant.stored": "instant order stored as attempting",
    "instant.sent": "instant message handed over, outcome not stored",
    "settle.before_commit": "unknown handoff about to be settled",
}

_armed, _, _after = os.environ.get("VARSEL_FAULT_STEP", "").partition(":")
_left = int(_after or 0)
if _armed and _armed not in STEPS:
    raise SystemExit(f"VARSEL_FAULT_STEP names no step; steps are: {', '.join(STEPS)}")


def step(name: str) -> None:
    """Pass a named step; the process ends here when the step is armed."""
    global _left
    if name != _armed:
        return
    if _left > 0:
        _left -= 1
        return
    os.kill(os.getpid(), signal.SIGKILL)
