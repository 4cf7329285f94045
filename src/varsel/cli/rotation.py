"""`varsel integration keys rotate`: a new key for an integration, proven before an old one goes."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from varsel.cli import profiles
from varsel.cli.calling import Json, Refused, Where, WrongInput, print_json, told
from varsel.cli.integration import Id, service_of, show_keys
from varsel.cli.jwk import write_key
from varsel.cli.profiles import CREATE
from varsel.cli.terminal import complain, say

if TYPE_CHECKING:
    from varsel.client import Environment, SigningKey


def rotate(
    client_id: Id,
    /,
    *,
    kid: Annotated[
        str | None, Parameter(help="Name of the new key; made of today's date when left out.")
    ] = None,
    out: Annotated[
        Path | None, Parameter(help="File for the new private key; KID.json when left out.")
    ] = None,
    replace_kid: Annotated[
        list[str] | None,
        Parameter(
            name="--replace",
            help="Name of an old key to take away once the new one has given a token; may be given several times.",
            negative="",
            consume_multiple=False,
        ),
    ] = None,
    bits: Annotated[int, Parameter(help="Size of the new key: 2048 to 8192.")] = 2048,
    where: Where | None = None,
    json: Json = False,
) -> None:
    from varsel.client import SigningKey

    name = kid or f"key-{datetime.fromtimestamp(time.time(), UTC):%Y%m%d-%H%M%S}"
    with told():
        book = profiles.Book.open()
        key = SigningKey.generate(name, bits=bits)
    with service_of(where) as service:
        integration = service.integration(client_id)
        there = {str(one.get("kid")) for one in service.keys(client_id).keys}
        if name in there:
            raise WrongInput(f"The integration has a key named {name} already; give another --kid.")
        for old in replace_kid or ():
            if old not in there:
                raise WrongInput(f"The integration has no key named {old}; nothing was changed.")
        path = write_key(key, out)
        found = service.add_key(client_id, key)
        scope = CREATE if CREATE in integration.scopes else " ".join(integration.scopes[:1])
        _prove(client_id, key, service.environment, scope)
        for old in replace_kid or ():
            found = service.remove_key(client_id, old)
    with told():
        moved = _move_profiles(book, client_id, key)
    if json:
        print_json({"kid": name, "file": str(path), "keys": found.keys, "profiles": moved})
        return
    complain(f"The new private key is in {path}; keep it secret. It has given a token.")
    for one in moved:
        complain(f"The profile {one} uses it from now on.")
    show_keys(found, json=False)
    left = sorted(there - set(replace_kid or ()))
    if left:
        say(
            "Give the new key to your programs; when all use it, take the old one away: "
            f"varsel integration keys remove {client_id} {left[0] if len(left) == 1 else 'KID'}"
        )


def _prove(client_id: str, key: SigningKey, environment: Environment, scope: str) -> None:
    """Refused unless the new key gives a token: until then no old one goes."""
    from varsel.client import ClientError, Maskinporten

    if not scope:
        return
    source = Maskinporten(client_id, key, environment=environment, scope=scope)
    try:
        source.token()
    except ClientError as error:
        raise Refused(
            f"The new key {key.kid} is registered but gives no token yet, so no old key was taken away. {error}"
        ) from None
    finally:
        source.close()


def _move_profiles(book: profiles.Book, client_id: str, key: SigningKey) -> list[str]:
    """Profiles of this integration take the new key; their names."""
    moved = [one for one in book.profiles.values() if one.client_id == client_id and one.kept]
    for one in moved:
        kept = profiles.keep(one.name, key, file=one.kept == "file")
        book.profiles[one.name] = replace(one, kid=None, kept=kept)
    if moved:
        book.save()
    return [one.name for one in moved]
