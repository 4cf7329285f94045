"""What stands between an integration and its first order, found out step by step; shows neither key nor token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ._errors import ClientError, ClockSkew
from ._exchange import AltinnTokens
from ._maskinporten import Maskinporten
from ._tokens import claims_of

#: Seconds between two clocks that Maskinporten overlooks (docs/reference/identity.md 2.6).
TOLERANCE = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One step: what was looked at, whether it is well, and in words what was found."""

    step: str
    well: bool
    words: str


def diagnose(source: Maskinporten, *, exchange: bool = True) -> Iterator[Finding]:
    """Key, each scope alone, clock, exchange and service owner code. Ends at the first fault that hides the rest."""
    yield Finding("key", True, f"kid {source.kid}, {source.alg}" if source.kid else "certificate (x5c)")
    yield Finding("environment", True, f"{source.environment.name}, issuer {source.environment.maskinporten}")
    granted = []
    for scope in source.scope.split():
        try:
            source.token(scope)
        except ClockSkew as error:
            yield Finding("clock", False, str(error))
            return
        except ClientError as error:
            yield Finding(f"scope {scope}", False, str(error))
        else:
            granted.append(scope)
            yield Finding(f"scope {scope}", True, "given")
    # Where nobody answered, nothing is known of the clock.
    offset = source.clock_offset or source.clock_difference
    if offset is not None and abs(offset) > TOLERANCE:
        yield Finding(
            "clock",
            False,
            f"This machine is {abs(offset):.0f} s {'behind' if offset > 0 else 'ahead'}; set it right.",
        )
    elif offset is not None:
        yield Finding("clock", True, "right")
    if not granted or not exchange:
        return
    tokens = AltinnTokens(source)
    try:
        token = tokens.token()
    except ClientError as error:
        yield Finding("exchange", False, str(error))
        return
    finally:
        tokens.close()
    yield Finding("exchange", True, "an Altinn token was given")
    code = claims_of(token.value).get("urn:altinn:org")
    yield Finding(
        "service owner",
        bool(code),
        str(code)
        if code
        else "The token names no service owner; is the organisation registered as one here?",
    )
