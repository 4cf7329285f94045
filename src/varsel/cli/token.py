"""`varsel token` and `varsel doctor`: tokens by an integration, and what stands in their way."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from varsel.cli.calling import Caller, Json, Where, WrongInput, caller, place, plain, print_json, told
from varsel.cli.terminal import complain, say

if TYPE_CHECKING:
    from varsel.client import Environment


def token(
    *,
    where: Where | None = None,
    scope: Annotated[
        list[str] | None,
        Parameter(
            help="A scope in place of the usual one; may be given several times.",
            negative="",
            consume_multiple=False,
        ),
    ] = None,
    maskinporten: Annotated[
        bool, Parameter(negative="", help="The Maskinporten token itself, not exchanged.")
    ] = False,
    person: Annotated[
        bool, Parameter(negative="", help="The token of the person who logged in by varsel login.")
    ] = False,
    decode: Annotated[
        bool, Parameter(negative="", help="Show header and claims in place of the token.")
    ] = False,
    json: Json = False,
) -> None:
    from varsel.cli.persons import kept_token
    from varsel.client._tokens import claims_of, header_of

    if person and (scope or maskinporten):
        raise WrongInput("--person is the token of a login as it is; leave --scope and --maskinporten out.")
    with told():
        if person:
            value = kept_token(_where_logged_in(where))
        else:
            who = caller(where)
            try:
                value = _value(who, " ".join(scope) if scope else None, maskinporten=maskinporten)
            finally:
                who.close()
    if decode:
        print_json({"header": header_of(value), "claims": claims_of(value)})
    elif json:
        print_json({"token": value, "expires": claims_of(value).get("exp")})
    else:
        say(value)


def _where_logged_in(where: Where | None) -> Environment:
    """Where `varsel login` with the same options logs in."""
    where = where or Where()
    if where == Where():
        with contextlib.suppress(WrongInput):
            who = caller(where)
            who.close()
            if who.sandbox is not None:
                return who.sandbox.environment
    return place(where)


def _value(who: Caller, scope: str | None, *, maskinporten: bool) -> str:
    from varsel.client import AltinnTokens
    from varsel.client.testing import SandboxError

    if who.sandbox is not None:
        if maskinporten:
            raise SandboxError(
                "A sandbox hands out Altinn tokens only; register an integration for Maskinporten tokens."
            )
        return who.sandbox.token(**({} if scope is None else {"scope": scope}))
    source = who.maskinporten(scope)
    if maskinporten:
        return source.token().value
    tokens = AltinnTokens(source)
    try:
        return tokens.token().value
    finally:
        tokens.close()


def doctor(*, where: Where | None = None, json: Json = False) -> int:
    from varsel.client import diagnose

    with told():
        who = caller(where)
        findings = []
        try:
            for finding in diagnose(who.maskinporten()):
                findings.append(finding)
                if not json:
                    say(f"{'ok ' if finding.well else 'BAD'} {finding.step}: {finding.words}")
        finally:
            who.close()
    if json:
        print_json([plain(one) for one in findings])
    bad = sum(not one.well for one in findings)
    if bad:
        complain(f"{bad} of {len(findings)} steps failed." if bad > 1 else "One step failed.")
    return 1 if bad else 0
