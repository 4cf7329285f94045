"""Where a logout leads (OpenID Connect RP-Initiated Logout 1.0, 2 and 3; docs/reference/identity.md 7.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from varsel.identity.idporten.errors import UntrustedRequest
from varsel.identity.idporten.provider import Provider
from varsel.identity.idporten.rules import one, with_query
from varsel.identity.jws import MalformedToken, read
from varsel.identity.keys import KeyRing


async def onward(provider: Provider, keys: KeyRing, params: Mapping[str, Sequence[str]]) -> str | None:
    """The address that the client asked for, with its `state`; None unless a client is named and the address is registered.

    UntrustedRequest for a client that does not exist, or is another than the one of the hint.
    """
    named, hinted = one(params, "client_id"), _hinted(provider, keys, one(params, "id_token_hint"))
    if named is not None and hinted is not None and named != hinted:
        raise UntrustedRequest("invalid_request", "id_token_hint belongs to another client.")
    target, state = one(params, "post_logout_redirect_uri"), one(params, "state")
    client_id = named or hinted
    if client_id is None or target is None:
        return None
    if target not in (await provider.client(client_id)).post_logout_redirect_uris:
        return None
    return with_query(target, state=state) if state else target


def _hinted(provider: Provider, keys: KeyRing, token: str | None) -> str | None:
    """The client of an ID token of this provider, whether it has expired or not."""
    if token is None:
        return None
    try:
        reading = read(token)
    except MalformedToken:
        return None
    key = keys.shown(provider.realm).keys.get(reading.kid or "")
    audience = reading.payload.get("aud")
    if key is None or not reading.verify(key) or reading.payload.get("iss") != provider.issuer:
        return None
    return audience if isinstance(audience, str) else None
