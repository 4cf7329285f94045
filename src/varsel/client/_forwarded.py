"""Credentials that somebody else made: a caller's own token passed on, or a token at hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from ._environments import Environment
from ._environments import environment as environment_named
from ._errors import ConfigurationError
from ._flow import Flow, call
from ._tokens import is_compact

#: The cookie that Altinn's login sets.
COOKIE = "AltinnStudioRuntime"


class ForwardedToken:
    """An Altinn token that came with an incoming request, passed on unchanged; never cached, never refreshed.

    token: the token, or a function that gives the one of the request at hand (it may be asynchronous with AsyncNotifications).
    cookie: send it in the cookie of this name instead of the Authorization header; True means Altinn's own name.
    """

    def __init__(
        self,
        token: str | Callable[[], str | Awaitable[str]],
        *,
        cookie: bool | str = False,
        environment: str | Environment | None = None,
    ) -> None:
        self._token = token
        self._cookie = COOKIE if cookie is True else cookie
        self._environment = None if environment is None else environment_named(environment)

    @property
    def environment(self) -> Environment | None:
        return self._environment

    def authorize(self) -> Flow[Mapping[str, str]]:
        token = self._token if isinstance(self._token, str) else (yield from call(self._token))
        token = token.strip() if isinstance(token, str) else ""
        if token[:7].lower() == "bearer ":
            token = token[7:].strip()
        if not is_compact(token):
            # Anything else could smuggle a second header or cookie along.
            raise ConfigurationError("The forwarded token is not a token; pass on the caller's Altinn token.")
        if self._cookie:
            return {"cookie": f"{self._cookie}={token}"}
        return {"authorization": f"Bearer {token}"}

    def refused(self, headers: Mapping[str, str]) -> bool:
        return False

    def __repr__(self) -> str:
        return f"ForwardedToken(cookie={self._cookie!r})"
