"""Routing, content types and order of checks: docs/reference/notifications-api.md 1.2, 1.3, 1.6, 1.7 and 5 (1 to 5, 13)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from varsel.runtime.asgi import BODY_LIMIT, Api, with_etag
from varsel.runtime.endpoints import Bound, Call, Caller, Endpoint, Policy, Reply
from varsel.runtime.errors import (
    BodyProblem,
    CodedProblem,
    DatabaseUnavailable,
    EmptyProblem,
    RegisterUnavailable,
    ValidationProblem,
)

BASE = "/notifications/api/v1"
JSON = ("application/json",)
TYPED = {"id": "uuid"}
NAME = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"

ENDPOINTS = (
    Endpoint(
        "POST", f"{BASE}/orders/email", "email", Policy.CREATE, "", JSON, "emailNotificationOrderRequest"
    ),
    Endpoint("POST", f"{BASE}/orders/sms", "sms", Policy.CREATE, "", JSON, "smsNotificationOrderRequest"),
    Endpoint("POST", f"{BASE}/orders", "order", Policy.CREATE, "", JSON, "notificationOrderRequest"),
    Endpoint("GET", f"{BASE}/orders", "by_reference", Policy.CREATE, ""),
    Endpoint("GET", f"{BASE}/orders/{{id}}", "by_id", Policy.CREATE, ""),
    Endpoint("GET", f"{BASE}/orders/{{id}}/status", "status", Policy.CREATE, ""),
    Endpoint("PUT", f"{BASE}/orders/{{id}}/cancel", "cancel", Policy.CREATE, ""),
    Endpoint("GET", f"{BASE}/future/shipment/{{id}}", "shipment", Policy.CREATE, "", typed=TYPED),
    Endpoint("GET", f"{BASE}/future/shipment/feed", "feed", Policy.CREATE, "", JSON),
    Endpoint("POST", f"{BASE}/trigger/sendsms", "trigger", Policy.OPEN, "", JSON),
    Endpoint("POST", f"{BASE}/metrics/sms", "metrics", Policy.METRICS_KEY, ""),
    Endpoint("GET", "/health", "health", Policy.OPEN, ""),
)


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Keeper:
    """An authorizer that knows one token."""

    async def authorize(self, policy: Policy, call: Call) -> Caller:
        if policy is Policy.METRICS_KEY:
            raise BodyProblem(401, b'{"error": "API key required for metrics"}')
        match call.header(b"authorization"):
            case b"Bearer good":
                return Caller("ttd", via="bearer")
            case b"Bearer person":
                raise EmptyProblem(403)
            case b"Bearer lost":
                raise DatabaseUnavailable
            case _:
                raise EmptyProblem(401)


class World:
    """An Api whose handlers all answer with what they were called with, unless a test says otherwise."""

    def __init__(self, **options) -> None:
        self.calls: list[tuple[str, Call]] = []
        self.answer: object = None
        self.seen: list[tuple[str, int]] = []
        bound = [Bound(endpoint, self._handler(endpoint.operation)) for endpoint in ENDPOINTS]
        self.api = Api(bound, Keeper(), telemetry=self, **options)

    def of(self, operation):
        return lambda status, seconds, received, sent: self.seen.append((operation, status))

    def _handler(self, operation: str):
        async def answer(call: Call) -> Reply:
            self.calls.append((operation, call))
            if callable(self.answer):
                return await self.answer(call)
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer or Reply(200, operation.encode())

        return answer

    async def ask(
        self, method, path, *, token="good", kind=None, body=b"", headers=(), messages=None
    ) -> Answer:
        sent: list[dict] = []
        raw, _, query = path.partition("?")
        given = [(name.encode(), value.encode()) for name, value in headers]
        if token:
            given.append((b"authorization", b"Bearer " + token.encode()))
        if kind is not None:
            given.append((b"content-type", kind.encode()))
        if body and messages is None:
            given.append((b"content-length", str(len(body)).encode()))
        inbox = iter(messages if messages is not None else [{"type": "http.request", "body": body}])

        async def receive():
            return next(inbox, {"type": "http.disconnect"})

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": raw,
            "raw_path": raw.encode(),
            "query_string": query.encode(),
            "headers": given,
        }
        await self.api(scope, receive, send)
        names = [name for name, _ in sent[0]["headers"]]
        assert len(names) == len(set(names))
        return Answer(
            sent[0]["status"],
            {name.decode(): value.decode() for name, value in sent[0]["headers"]},
            b"".join(message["body"] for message in sent[1:]),
        )

    @property
    def reached(self) -> str | None:
        return self.calls[-1][0] if self.calls else None


@pytest.fixture
def world() -> World:
    return World()


# 1.2 Routing


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("POST", f"{BASE}/orders/sms/", "sms"),
        ("POST", f"{BASE}/Orders/SMS", "sms"),
        ("POST", "/NOTIFICATIONS/api/V1/ORDERS/", "order"),
        ("GET", f"{BASE}/orders", "by_reference"),
        ("GET", f"{BASE}/orders/{NAME}/", "by_id"),
        ("GET", f"{BASE}/ORDERS/{NAME}/Status", "status"),
        ("GET", f"{BASE}/orders/not-a-uuid", "by_id"),
        ("GET", f"{BASE}/orders/email", "by_id"),
        ("GET", f"{BASE}/orders/sms", "by_id"),
        ("GET", f"{BASE}/future/shipment/FEED", "feed"),
        ("GET", f"{BASE}/%6Frders", "by_reference"),
        ("GET", f"{BASE}/orders/{NAME}/%73tatus", "status"),
    ],
)
async def test_1_2_paths_that_match(world, method, path, operation):
    answer = await world.ask(method, path, kind="application/json" if method == "POST" else None)
    assert (answer.status, world.reached) == (200, operation)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/notifications",
        f"{BASE}",
        f"{BASE}/",
        f"{BASE}/unknown",
        f"{BASE}/orders//",
        f"{BASE}//orders",
        f"{BASE}/orders/{NAME}/unknown",
        f"{BASE}/future/shipment/not-a-uuid",
        f"{BASE}/future/shipment/{NAME}0",
        f"{BASE}/orders%2Femail",
        f"{BASE}/trigger/s%E2%84%AAndsms",
        "*",
        "",
    ],
)
async def test_1_2_unknown_paths_are_404_and_empty_without_a_credential(world, path):
    answer = await world.ask("GET", path, token=None)
    assert (answer.status, answer.body, answer.headers) == (404, b"", {"content-length": "0"})
    assert world.seen == [("unrouted", 404)]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", f"{BASE}/orders", "GET, POST"),
        ("DELETE", f"{BASE}/orders/email", "GET, POST"),
        ("HEAD", f"{BASE}/orders/{NAME}", "GET"),
        ("OPTIONS", f"{BASE}/orders/sms/", "GET, POST"),
        ("POST", f"{BASE}/orders/{NAME}/cancel", "PUT"),
        ("POST", f"{BASE}/future/shipment/{NAME}", "GET"),
        ("get", "/health", "GET"),
    ],
)
async def test_1_2_known_path_with_another_method_is_405_with_allow(world, method, path, allowed):
    answer = await world.ask(method, path, token=None, kind="text/plain")
    assert (answer.status, answer.body) == (405, b"")
    assert answer.headers == {"content-length": "0", "allow": allowed}


@pytest.mark.parametrize(
    "form",
    [
        NAME,
        NAME.upper(),
        NAME.replace("-", ""),
        "{" + NAME + "}",
        "(" + NAME + ")",
        "%7B" + NAME + "%7D",
    ],
)
async def test_1_2_uuids_in_every_common_form_become_one(world, form):
    assert (await world.ask("GET", f"{BASE}/future/shipment/{form}")).status == 200
    assert world.calls[-1][1].params == {"id": NAME}


async def test_1_2_an_escaped_slash_stays_in_its_segment(world):
    assert (await world.ask("GET", f"{BASE}/orders/a%2Fstatus")).status == 200
    assert (world.reached, world.calls[-1][1].params) == ("by_id", {"id": "a/status"})


async def test_1_2_parameters_keep_their_case(world):
    await world.ask("GET", f"{BASE}/ORDERS/AbC")
    assert world.calls[-1][1].params == {"id": "AbC"}


async def test_unknown_paths_go_to_the_fallback_and_known_ones_do_not():
    asked = []

    async def rest(scope, receive, send):
        asked.append(scope["path"])
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    world = World(fallback=rest)
    assert (await world.ask("GET", "/console/")).status == 299
    assert (await world.ask("PATCH", "/health")).status == 405
    assert asked == ["/console/"]


def test_two_rows_for_one_operation_are_refused():
    async def handler(call: Call) -> Reply:
        return Reply(200)

    rows = [Bound(ENDPOINTS[4], handler), Bound(ENDPOINTS[4], handler)]
    with pytest.raises(ValueError, match="stands twice"):
        Api(rows, Keeper())


# 1.3 Content types


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/json;"])
async def test_1_3_json_with_parameters_is_accepted(world, kind):
    assert (await world.ask("POST", f"{BASE}/orders/email", kind=kind, body=b"{}")).status == 200
    assert world.calls[-1][1].body == b"{}"


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/json",
        "application/problem+json",
        "application/x-www-form-urlencoded",
        "application/json, text/plain",
        "json",
        " ",
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{BASE}/orders/email"),
        ("GET", f"{BASE}/future/shipment/feed"),
        ("POST", f"{BASE}/trigger/sendsms"),
    ],
)
async def test_1_3_another_content_type_is_415_before_the_credential(world, method, path, kind):
    answer = await world.ask(method, path, token=None, kind=kind, body=b"{}")
    assert (answer.status, answer.body, answer.headers) == (415, b"", {"content-length": "0"})
    assert world.calls == []


async def test_1_3_two_content_types_are_415(world):
    twice = [("content-type", "application/json")]
    answer = await world.ask("POST", f"{BASE}/orders/email", kind="application/json", headers=twice)
    assert answer.status == 415


@pytest.mark.parametrize("kind", [None, ""])
async def test_1_3_missing_content_type_is_401_then_415_with_a_problem(world, kind):
    assert (await world.ask("POST", f"{BASE}/orders/email", token=None, kind=kind, body=b"{}")).status == 401
    answer = await world.ask("POST", f"{BASE}/orders/email", kind=kind, body=b"{}")
    assert answer.status == 415
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    problem = json.loads(answer.body)
    assert problem.pop("traceId").startswith("00-")
    assert problem == {
        "type": "https://tools.ietf.org/html/rfc9110#section-15.5.16",
        "title": "Unsupported Media Type",
        "status": 415,
    }
    assert world.calls == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{BASE}/future/shipment/feed"),
        ("POST", f"{BASE}/trigger/sendsms"),
        ("PUT", f"{BASE}/orders/{NAME}/cancel"),
    ],
)
async def test_1_3_missing_content_type_is_fine_where_no_body_is_read(world, method, path):
    assert (await world.ask(method, path)).status == 200


async def test_1_3_endpoints_that_declare_no_type_ignore_the_header(world):
    assert (await world.ask("GET", f"{BASE}/orders/{NAME}", kind="text/plain")).status == 200


# 1.3 Body size


async def test_1_3_a_body_announced_too_long_is_413_and_not_read(world):
    headers = [("content-length", str(BODY_LIMIT + 1))]
    answer = await world.ask(
        "POST", f"{BASE}/orders", kind="application/json", headers=headers, messages=iter_never()
    )
    assert (answer.status, json.loads(answer.body)["title"]) == (413, "Content Too Large")
    assert world.calls == []


async def test_1_3_a_chunked_body_too_long_is_413_as_soon_as_it_is(world):
    chunk = b"x" * 1_000_000
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for _ in range(31)]
    messages += iter_never()
    answer = await world.ask(
        "POST",
        f"{BASE}/orders",
        kind="application/json",
        headers=[("transfer-encoding", "chunked")],
        messages=messages,
    )
    assert answer.status == 413


async def test_1_3_a_body_of_exactly_the_limit_is_read(world):
    half = b"x" * (BODY_LIMIT // 2)
    messages = [
        {"type": "http.request", "body": half, "more_body": True},
        {"type": "http.request", "body": half, "more_body": False},
    ]
    headers = [("content-length", str(BODY_LIMIT))]
    answer = await world.ask(
        "POST", f"{BASE}/orders", kind="application/json", headers=headers, messages=messages
    )
    assert (answer.status, len(world.calls[-1][1].body)) == (200, BODY_LIMIT)


def iter_never():
    """Messages that fail the test when one is asked for."""

    class Never(dict):
        def __getitem__(self, key):
            raise AssertionError("the body was read")

    return [Never()]


# 1.6 Order of checks, 1.7 error formats


async def test_1_6_method_before_type_before_credential_before_missing_type(world):
    url = f"{BASE}/orders/email"
    assert (await world.ask("PATCH", url, token=None, kind="text/plain")).status == 405
    assert (await world.ask("POST", url, token=None, kind="text/plain")).status == 415
    assert (await world.ask("POST", url, token=None)).status == 401
    assert (await world.ask("POST", url, token="person")).status == 403
    assert (await world.ask("POST", url)).status == 415


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("person", 403)])
async def test_1_7_4_refused_credentials_get_an_empty_body_and_no_headers(world, token, status):
    answer = await world.ask("GET", f"{BASE}/orders/{NAME}", token=token)
    assert (answer.status, answer.body, answer.headers) == (status, b"", {"content-length": "0"})


@pytest.mark.parametrize(
    ("token", "status", "challenge"),
    [
        (None, 401, 'Bearer error="invalid_token"'),
        (
            "person",
            403,
            'Bearer error="insufficient_scope", scope="altinn:serviceowner/notifications.create"',
        ),
    ],
)
async def test_without_strict_imitation_refused_credentials_tell_why(token, status, challenge):
    world = World(strict=False)
    answer = await world.ask("GET", f"{BASE}/orders/{NAME}", token=token)
    assert (answer.status, answer.headers["www-authenticate"]) == (status, challenge)
    assert json.loads(answer.body)["status"] == status


async def test_1_7_1_validation_problems_are_plain_json(world):
    world.answer = ValidationProblem({"Recipients[0].EmailAddress": ["Not an address."]})
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = await world.ask("GET", f"{BASE}/orders/{NAME}", headers=[("traceparent", trace)])
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json; charset=utf-8")
    problem = json.loads(answer.body)
    assert problem["errors"] == {"Recipients[0].EmailAddress": ["Not an address."]}
    assert problem["traceId"].split("-")[1] == "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_1_7_2_coded_problems_keep_their_status_and_headers(world):
    world.answer = CodedProblem("NOT-00004", ((b"retry-after", b"60"),))
    answer = await world.ask("GET", f"{BASE}/orders/{NAME}")
    assert (answer.status, answer.headers["retry-after"]) == (503, "60")
    assert json.loads(answer.body)["code"] == "NOT-00004"


async def test_1_7_5_the_metrics_key_has_a_body_of_its_own(world):
    answer = await world.ask("POST", f"{BASE}/metrics/sms", token=None)
    assert (answer.status, answer.body) == (401, b'{"error": "API key required for metrics"}')


async def test_1_7_4_an_unhandled_error_is_500_and_empty_and_tells_nothing(world):
    world.answer = RuntimeError("broken")
    with capture_logs() as lines:
        answer = await world.ask("GET", f"{BASE}/orders/{NAME}")
    assert (answer.status, answer.body, answer.headers) == (500, b"", {"content-length": "0"})
    assert world.seen == [("by_id", 500)]
    assert [(line["action"], line["log_level"], len(line["trace"])) for line in lines] == [
        ("http.failed", "error", 32)
    ]


@pytest.mark.parametrize(("outage", "seconds"), [(DatabaseUnavailable(), "5"), (RegisterUnavailable(), "60")])
async def test_an_outage_is_503_with_retry_after(world, outage, seconds):
    world.answer = outage
    answer = await world.ask("GET", f"{BASE}/orders/{NAME}")
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (503, b"", seconds)


async def test_an_outage_while_the_credential_is_checked_is_503(world):
    assert (await world.ask("GET", f"{BASE}/orders/{NAME}", token="lost")).status == 503


async def test_a_caller_that_leaves_while_sending_counts_as_499(world):
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    headers = [("content-length", "100")]
    await world.ask("POST", f"{BASE}/orders", kind="application/json", headers=headers, messages=messages)
    assert (world.calls, world.seen) == ([], [("order", 499)])


async def test_a_handler_can_wait_for_the_caller_to_leave(world):
    async def long_poll(call: Call) -> Reply:
        await asyncio.wait_for(call.disconnected(), 5)
        raise CodedProblem("NOT-00002")

    world.answer = long_poll
    answer = await world.ask("GET", f"{BASE}/future/shipment/feed")
    assert (answer.status, json.loads(answer.body)["code"]) == (499, "NOT-00002")


async def test_every_value_of_a_repeated_header_is_seen(world):
    await world.ask(
        "GET", f"{BASE}/orders/{NAME}", token=None, headers=[("authorization", "Bearer good")] * 2
    )
    assert world.calls[-1][1].headers[b"authorization"] == [b"Bearer good"] * 2


# ETag (an addition)


async def test_reads_answer_304_to_the_etag_they_gave(world):
    async def read(call: Call) -> Reply:
        return with_etag(call, Reply(200, b"[]"))

    world.answer = read
    first = await world.ask("GET", f"{BASE}/orders/{NAME}")
    tag = first.headers["etag"]
    for value in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        again = await world.ask("GET", f"{BASE}/orders/{NAME}", headers=[("if-none-match", value)])
        assert (again.status, again.body, again.headers) == (304, b"", {"etag": tag})
    other = await world.ask("GET", f"{BASE}/orders/{NAME}", headers=[("if-none-match", '"x"')])
    assert (other.status, other.body) == (200, b"[]")


async def test_etags_belong_to_successes_only(world):
    async def read(call: Call) -> Reply:
        return with_etag(call, Reply(404, b"", (), None))

    world.answer = read
    answer = await world.ask("GET", f"{BASE}/orders/{NAME}", headers=[("if-none-match", "*")])
    assert (answer.status, "etag" in answer.headers) == (404, False)


async def test_a_request_cut_off_by_the_stop_gets_a_complete_503(world):
    started = asyncio.Event()

    async def hang(call: Call) -> Reply:
        started.set()
        await asyncio.Event().wait()
        return Reply(200)

    world.answer = hang
    asking = asyncio.create_task(world.ask("GET", f"{BASE}/orders/{NAME}"))
    await started.wait()
    asking.cancel()
    answer = await asking
    assert (answer.status, answer.body) == (503, b"")
    assert answer.headers == {"content-length": "0", "retry-after": "5", "connection": "close"}
