"""Who calls the Notifications API, and may they (docs/reference/identity.md 6, docs/reference/notifications-api.md 1.8).

Order: every credential that was sent must be good (a bad one is 401, whatever else was sent), then the policy, then the agreement
of two credentials. The creator comes from verified claims only; that it is missing is the endpoint's 403, after validation.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from hmac import compare_digest
from typing import Final
from urllib.parse import parse_qs, urlsplit

from varsel.identity.cookies import BAD, cookie_values, single
from varsel.identity.platform.tokens import PlatformCaller, PlatformTokens
from varsel.identity.tokens import InvalidToken, TokenChecker, Verified
from varsel.runtime.endpoints import ANONYMOUS, SCOPES, Call, Caller, Policy
from varsel.runtime.errors import BodyProblem, EmptyProblem, Problem
from varsel.runtime.metrics import counter
from varsel.runtime.problems import pretty
from varsel.runtime.settings import Settings

_BY_TOKEN: Final = frozenset({*SCOPES, Policy.PERSON})
_refused: Final = counter("credentials_refused")
XSRF_COOKIE: Final = b"AS-XSRF-TOKEN"
XSRF_HEADER: Final = b"x-xsrf-token"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class PolicyAuthorizer:
    """The Authorizer of all rooms. It answers with bare statuses; whether a challenge goes along is the router's."""

    def __init__(
        self, settings: Settings, tokens: TokenChecker, platform: PlatformTokens, *, sandbox: bool
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._platform = platform
        self._sandbox = sandbox
        self._cookie = settings.token_cookie.encode()
        base = urlsplit(settings.base_url)
        self._origin = f"{base.scheme}://{base.netloc}".lower().encode()

    async def authorize(self, policy: Policy, call: Call) -> Caller:
        try:
            if policy in _BY_TOKEN:
                return await self._tokens_of(policy, call)
            return self._by_other_means(policy, call)
        except Problem as refusal:
            _refused.labels(str(refusal.status)).inc()
            raise

    def _by_other_means(self, policy: Policy, call: Call) -> Caller:
        match policy:
            case Policy.OPEN:
                return ANONYMOUS
            case Policy.METRICS_KEY:
                return self._metrics_key(call)
            case Policy.SMS_REPORT:
                return self._sms_report(call)
            case Policy.EMAIL_REPORT:
                return self._email_report(call)
            case Policy.INTERNAL:
                return self._internal(call)
            case _:
                raise ValueError(f"no credential is known for {policy}")

    # Tokens

    async def _tokens_of(self, policy: Policy, call: Call) -> Caller:
        bearer = None
        token, via = self._access_token(call)
        if token is not None:
            # Hardly any request has to wait here, and none that need not pays for being able to.
            verified = self._tokens.recall(token) or await self._verify(token)
            bearer = verified.caller if via == "bearer" else replace(verified.caller, via=via)
        platform = self._platform_caller(call)
        if via == "cookie" and bearer is not None:
            self._check_forgery(call)
        if policy is Policy.PERSON:
            allowed = bearer is not None and bearer.pid is not None
        else:
            scoped = bearer is not None and SCOPES[policy] in bearer.scopes
            allowed = scoped or (policy is Policy.CREATE and platform is not None)
        if not allowed:
            # Without an access token there is nobody to forbid anything to, even beside a platform token.
            raise EmptyProblem(403) if bearer is not None else EmptyProblem(401)
        if platform is None:
            assert bearer is not None
            return bearer
        return self._agree(bearer, platform)

    def _agree(self, bearer: Caller | None, platform: PlatformCaller) -> Caller:
        """Two credentials must mean the same creator, unless a trusted component acts for the bearer (identity.md 6.5)."""
        if bearer is None:
            return Caller(platform.issuer, frozenset(), "platform", None, {"urn:altinn:app": platform.app})
        if bearer.creator is None:
            # The bearer alone may not order: the platform token is what is acted on, but never with the bearer's person.
            return replace(bearer, creator=platform.issuer, via="platform", pid=None)
        if bearer.creator == platform.issuer or platform.trusted:
            return bearer
        raise EmptyProblem(403)

    def _access_token(self, call: Call) -> tuple[bytes | None, str]:
        """The token of the Authorization header or, only without such a header, of the cookie; and which of them it was."""
        headers = call.headers.get(b"authorization")
        if headers:
            if len(headers) > 1 or headers[0][:7].lower() != b"bearer ":
                raise EmptyProblem(401)
            return headers[0][7:].strip(b" \t"), "bearer"
        cookies = call.headers.get(b"cookie")
        if not cookies:
            return None, "none"
        value = single(cookies, self._cookie)
        if value is BAD:
            raise EmptyProblem(401)
        return value, "cookie"

    async def _verify(self, token: bytes) -> Verified:
        try:
            return await self._tokens.check(token)
        except InvalidToken:
            raise EmptyProblem(401) from None

    def _platform_caller(self, call: Call) -> PlatformCaller | None:
        headers = call.headers.get(b"platformaccesstoken")
        if not headers or (len(headers) == 1 and not headers[0].strip()):
            return None
        if len(headers) > 1:
            raise EmptyProblem(401)
        try:
            return self._platform.check(headers[0].strip())
        except InvalidToken:
            raise EmptyProblem(401) from None

    def _check_forgery(self, call: Call) -> None:
        """Unsafe methods with the cookie need proof that our own page sent them (identity.md 6.8): 403 without."""
        if call.method in _SAFE:
            return
        origin = call.header(b"origin")
        if origin is not None:
            host = call.header(b"host")
            own = {self._origin}
            if host:
                own |= {b"http://" + host.lower(), b"https://" + host.lower()}
            if origin.lower() in own:
                return
        elif call.header(b"sec-fetch-site") == b"same-origin":
            return
        sent = call.header(XSRF_HEADER)
        kept = cookie_values(call.headers.get(b"cookie", []), XSRF_COOKIE)
        if sent and len(kept) == 1 and compare_digest(sent, kept[0]):
            return
        raise EmptyProblem(403)

    # Other credentials

    def _metrics_key(self, call: Call) -> Caller:
        """Header X-API-Key; 401 with its own small body (identity.md 6.3)."""
        values = call.headers.get(b"x-api-key")
        right = self._settings.metrics_api_key.encode()
        if not values:
            text = "API key required for metrics"
        elif not b"".join(values).strip():
            text = "API key cannot be empty"
        elif not right:
            text = "API key validation not configured"
        elif len(values) == 1 and compare_digest(values[0], right):
            return Caller(via="key")
        else:
            text = "Invalid API key"
        raise BodyProblem(401, pretty({"error": text}))

    def _sms_report(self, call: Call) -> Caller:
        """Basic credentials of the gateway; the scheme word is not looked at (notifications-api.md 2.22)."""
        user, password = self._settings.sms_report_user.encode(), self._settings.sms_report_password.encode()
        values = call.headers.get(b"authorization", [])
        if len(values) != 1 or not user or not password:
            raise EmptyProblem(401)
        encoded = values[0].strip().rpartition(b" ")[2]
        try:
            sent_user, colon, sent_password = base64.b64decode(encoded, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            raise EmptyProblem(401) from None
        # Both are compared before deciding, so that the time tells nothing about either.
        user_right, password_right = compare_digest(sent_user, user), compare_digest(sent_password, password)
        if not (colon and user_right and password_right):
            raise EmptyProblem(401)
        return Caller(via="basic")

    def _email_report(self, call: Call) -> Caller:
        """A shared secret in a header, or in the query where the sender of events can set no header."""
        secret = self._settings.email_report_secret.encode()
        sent = call.headers.get(b"x-varsel-report-secret", [])
        if not sent:
            given = parse_qs(call.query.decode("latin-1"), encoding="latin-1").get("code", [])
            sent = [value.encode("latin-1", "replace") for value in given]
        if not secret or len(sent) != 1 or not compare_digest(sent[0], secret):
            raise EmptyProblem(401)
        return Caller(via="key")

    def _internal(self, call: Call) -> Caller:
        """The internal listener (or the sandbox), and its secret where one is set; elsewhere the path does not exist."""
        server = call.scope.get("server")
        port = self._settings.internal_port
        if not (self._sandbox or (port and server and server[1] == port)):
            raise EmptyProblem(404)
        secret = self._settings.internal_secret.encode()
        if secret:
            sent = call.headers.get(b"x-varsel-internal", [])
            if len(sent) != 1 or not compare_digest(sent[0], secret):
                raise EmptyProblem(401)
        return Caller(via="key" if secret else "none")
