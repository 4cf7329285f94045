"""What handlers of the Notifications API ask of a call before anything else."""

from __future__ import annotations

from uuid import UUID

from varsel.runtime.endpoints import Call
from varsel.runtime.errors import EmptyProblem, ValidationProblem
from varsel.runtime.routing import parse_uuid


def creator_of(call: Call) -> str:
    """The caller's organisation, or 403 (docs/reference/notifications-api.md 1.6, stage 6)."""
    creator = call.caller.creator
    if creator is None or not creator.strip():
        raise EmptyProblem(403)
    return creator


def id_of(call: Call) -> UUID:
    """`{id}` of a v1 endpoint: what is no UUID is refused with its key, before anybody's organisation is looked at (1.2)."""
    found = parse_uuid(call.params["id"])
    if found is None:
        raise ValidationProblem({"id": ["Must be a UUID."]})
    return found
