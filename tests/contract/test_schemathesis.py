"""Requests made up from the API description: no 5xx and no answer that the description does not tell of.

The short form runs in `make test` with the same requests every time; the long form (`make fuzz`) makes new ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.config import (
    CoveragePhaseConfig,
    GenerationConfig,
    PhasesConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)

from tests.support.varsel import Server, directory
from varsel.cli.description import ENDPOINTS, description
from varsel.runtime.endpoints import Policy

BY_PLACE = {(row.method, row.path): row for row in ENDPOINTS}
#: Secrets of the server under test.
SECRETS = {
    "metrics_api_key": "fuzz-key",
    "sms_report_user": "fuzz",
    "sms_report_password": "fuzz-password",
    "email_report_secret": "fuzz-secret",
}
#: `Basic` of the user and password above.
BASIC = "Basic ZnV6ejpmdXp6LXBhc3N3b3Jk"
SCOPES = (
    "altinn:serviceowner/notifications.create",
    "altinn:serviceowner/notifications.composedemail.create",
    "altinn:notifications.support.admin",
)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SILENT = [HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large]


def schema(*, coverage: bool) -> Any:
    """The description as a source of requests; credentials are ours, not made up."""
    config = SchemathesisConfig(
        projects=ProjectsConfig(
            default=ProjectConfig(
                generation=GenerationConfig(with_security_parameters=False, deterministic=not coverage),
                phases=PhasesConfig(coverage=CoveragePhaseConfig(enabled=coverage)),
            )
        )
    )
    return schemathesis.openapi.from_dict(json.loads(description(internal=True)), config=config)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A sandbox without workers: nothing that was made up is followed or sent, but instant messages, to the sandbox itself."""
    with (
        directory(tmp_path_factory.mktemp("fuzz")) as data,
        Server(data, "--sandbox", workers="0", **SECRETS) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def credentials(server: Server) -> dict[Policy, dict[str, str]]:
    """What each policy asks for."""
    organisation = {"Authorization": f"Bearer {server.token('--org', 'ttd', '--scope', ' '.join(SCOPES))}"}
    return {
        Policy.CREATE: organisation,
        Policy.COMPOSED: organisation,
        Policy.SUPPORT: organisation,
        Policy.PERSON: {"Authorization": f"Bearer {server.token('--person', '17849012320')}"},
        Policy.METRICS_KEY: {"X-API-Key": SECRETS["metrics_api_key"]},
        Policy.SMS_REPORT: {"Authorization": BASIC},
        Policy.EMAIL_REPORT: {"X-Varsel-Report-Secret": SECRETS["email_report_secret"]},
        Policy.INTERNAL: {},
        Policy.OPEN: {},
    }


def send(case: Any, server: Server, credentials: dict[Policy, dict[str, str]]) -> None:
    headers = case.headers or {}
    # A long poll would hold the test for as long as was made up.
    for name in [name for name in headers if name.lower() == "prefer" and "wait" in str(headers[name])]:
        del headers[name]
    case.headers = headers
    policy = BY_PLACE[case.operation.method.upper(), case.operation.path].policy
    answer = case.call(base_url=server.url, headers=credentials[policy], timeout=30)
    if answer.status_code == 405:
        # A path parameter that is made of dots or nothing leads to another path.
        assert answer.headers["allow"]
        assert not answer.content
        return
    # Refusals may be empty where a problem is described too (docs/reference/notifications-api.md 1.7.4).
    bare = answer.status_code >= 400 and not answer.content
    case.validate_response(answer, checks=CHECKS[:2] if bare else CHECKS)


#: Made-up requests for each endpoint in the long form.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "400"))
short = schema(coverage=False)
long = schema(coverage=True)


@short.parametrize()
@settings(
    max_examples=6,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=SILENT,
)
def test_made_up_requests(case, server, credentials):
    send(case, server, credentials)


@pytest.mark.long
@long.parametrize()
@settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=SILENT)
def test_many_made_up_requests(case, server, credentials):
    send(case, server, credentials)
