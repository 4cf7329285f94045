"""From a registered key to an accepted call (docs/reference/identity.md 1.2)."""

from __future__ import annotations

import html
from typing import Any

import pytest

from tests.support.identity import BASE, GRANT, World, header_of, payload_of
from varsel.identity.maskinporten import errors
from varsel.identity.maskinporten.errors import BY_PAGE, Rule
from varsel.identity.numbers import is_organisation, is_synthetic, national_numbers, organisation_numbers
from varsel.identity.registry import CREATE_SCOPE
from varsel.runtime.endpoints import Policy
from varsel.runtime.errors import EmptyProblem


async def test_the_whole_road(world: World) -> None:
    metadata = (await world.http.get("/maskinporten/.well-known/oauth-authorization-server")).json()
    assert metadata["issuer"] == BASE + "/maskinporten/"
    assert metadata["token_endpoint"] == BASE + "/maskinporten/token"

    answer = await world.token_request(world.grant(aud=metadata["issuer"]))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["token_type"] == "Bearer" and body["expires_in"] == 119 and body["scope"] == CREATE_SCOPE
    claims = payload_of(body["access_token"])
    assert claims["consumer"] == {"authority": "iso6523-actorid-upis", "ID": "0192:991825827"}
    assert claims["exp"] - claims["iat"] == 120 and claims["client_amr"] == "private_key_jwt"
    assert len(claims["jti"]) == 43 and "aud" not in claims and "sub" not in claims

    exchanged = await world.exchange(body["access_token"])
    assert exchanged.status_code == 200
    assert exchanged.headers["content-type"].startswith("text/plain")
    altinn = payload_of(exchanged.text)
    assert altinn["urn:altinn:org"] == "digdir" and altinn["urn:altinn:orgNumber"] == "991825827"
    assert altinn["urn:altinn:authlevel"] == 3 and altinn["urn:altinn:authenticatemethod"] == "maskinporten"
    assert altinn["iss"] == BASE + "/authentication/api/v1/openid/"
    assert altinn["exp"] - altinn["iat"] == 1800 and altinn["nbf"] == altinn["iat"]
    assert altinn["jti"] == claims["jti"] and "client_amr" not in altinn and "aud" not in altinn
    head = header_of(exchanged.text)
    assert (
        head["typ"] == "JWT" and head["x5t"] and len(head["kid"]) == 40 and head["kid"] == head["kid"].upper()
    )

    caller = await world.authorize({"Authorization": f"Bearer {exchanged.text}"})
    assert caller.creator == "digdir" and caller.via == "bearer" and CREATE_SCOPE in caller.scopes
    assert caller.pid is None


async def test_exchange_answers_json_in_quotes_when_asked(world: World) -> None:
    token = await world.maskinporten_token()
    answer = await world.exchange(token, headers={"Accept": "application/json"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == f'"{answer.json()}"' and answer.json().count(".") == 2


async def test_provider_name_in_any_case_and_unknown_provider(world: World) -> None:
    token = await world.maskinporten_token()
    assert (await world.exchange(token, "MaskinPorten")).status_code == 200
    answer = await world.exchange(token, "Nemid")
    assert answer.status_code == 400
    assert answer.text == (
        "Invalid token provider: Nemid. Trusted token providers are 'Maskinporten', 'Id-porten' and 'AltinnStudio'."
    )
    assert (await world.exchange("rubbish", "Nemid")).status_code == 401
    assert (await world.exchange(token, "altinnstudio")).status_code == 401


async def test_test_switch_makes_digdir_ttd(world: World) -> None:
    token = await world.maskinporten_token()
    answer = await world.exchange(token, params={"test": "True"})
    assert payload_of(answer.text)["urn:altinn:org"] == "ttd"
    assert (await world.exchange(token, params={"test": "perhaps"})).status_code == 400


async def test_enterprise_user_is_gone(world: World) -> None:
    token = await world.maskinporten_token()
    answer = await world.exchange(token, headers={"X-Altinn-EnterpriseUser-Authentication": "dTpw"})
    assert answer.status_code == 410 and answer.json()["title"] == "Virksomhetsbruker is no longer available"


async def test_refusals_carry_code_trace_and_help_page(world: World) -> None:
    answer = await world.token_request(world.grant(aud="https://elsewhere.example/"))
    body = answer.json()
    assert answer.status_code == 400 and body["error"] == "invalid_grant"
    assert body["error_uri"] == BASE + "/maskinporten/errors/MP-110"
    page = await world.http.get(body["error_uri"].removeprefix(BASE))
    assert page.status_code == 200 and "MP-110" in page.text
    description, _, trace = body["error_description"].partition(" (trace_id: ")
    assert description == "Invalid assertion. Invalid JWT claim aud" and len(trace.rstrip(")")) == 32
    assert (await world.http.get("/maskinporten/errors/MP-999")).status_code == 404


async def test_a_refusal_without_a_code_has_a_help_page_too(world: World) -> None:
    answer = await world.token_request(world.grant(header={"alg": "RS256", "kid": "another"}))
    assert answer.json()["error_uri"] == BASE + "/maskinporten/errors/unknown-key"
    page = await world.http.get(answer.json()["error_uri"].removeprefix(BASE))
    assert page.status_code == 200 and "Egne public nøkler" in page.text


@pytest.mark.parametrize("rule", BY_PAGE.values(), ids=lambda rule: rule.page)
async def test_every_refusal_says_what_to_do_in_both_languages(world: World, rule: Rule) -> None:
    page = await world.http.get(f"/maskinporten/errors/{rule.page}")
    assert page.status_code == 200
    for words in (rule.text, rule.advice, rule.advice_nb):
        assert len(words) > 10 and html.escape(words) in page.text
    assert rule.advice != rule.advice_nb


def test_no_refusal_is_left_out() -> None:
    assert {id(rule) for rule in vars(errors).values() if isinstance(rule, Rule)} == {
        id(rule) for rule in BY_PAGE.values()
    }


@pytest.mark.parametrize(
    ("content", "headers", "error"),
    [
        (b'{"grant_type":"x"}', {"Content-Type": "application/json"}, "invalid_request"),
        (b"", {"Content-Type": "application/x-www-form-urlencoded"}, "invalid_request"),
        (
            b"grant_type=password&assertion=x",
            {"Content-Type": "application/x-www-form-urlencoded"},
            "unsupported_grant_type",
        ),
        (
            b"assertion=x&assertion=y",
            {"Content-Type": "application/x-www-form-urlencoded"},
            "invalid_request",
        ),
        (
            b"grant_type=" + GRANT.encode() * 2000,
            {"Content-Type": "application/x-www-form-urlencoded"},
            "invalid_request",
        ),
    ],
    ids=["json", "empty", "other-grant", "repeated", "huge"],
)
async def test_form_is_read_strictly(
    world: World, content: bytes, headers: dict[str, str], error: str
) -> None:
    answer = await world.http.post("/maskinporten/token", content=content, headers=headers)
    assert answer.status_code == 400 and answer.json()["error"] == error


async def test_parameters_in_the_query_are_refused(world: World) -> None:
    answer = await world.http.post(
        "/maskinporten/token?scope=x", data={"grant_type": GRANT, "assertion": world.grant()}
    )
    assert answer.status_code == 400


async def test_maskinporten_token_itself_is_no_access(world: World) -> None:
    token = await world.maskinporten_token()
    with pytest.raises(EmptyProblem) as refused:
        await world.authorize({"Authorization": f"Bearer {token}"})
    assert refused.value.status == 401 and refused.value.headers == ()


async def test_organisation_list(world: World) -> None:
    orgs = (await world.http.get("/orgs/altinn-orgs.json")).json()["orgs"]
    assert orgs["ttd"]["orgnr"] == "" and orgs["digdir"]["orgnr"] == "991825827"
    assert orgs["digdir"]["name"]["en"] == "Norwegian Digitalisation Agency"


async def test_metadata_and_keys_of_the_altinn_issuer(world: World) -> None:
    base = "/authentication/api/v1/openid/.well-known/openid-configuration"
    metadata = (await world.http.get(base)).json()
    assert metadata["issuer"] == BASE + "/authentication/api/v1/openid/"
    keys = (await world.http.get(metadata["jwks_uri"].removeprefix(BASE))).json()["keys"]
    assert len(keys) == 1 and "alg" not in keys[0] and keys[0]["x5c"] and "=" not in keys[0]["n"]


async def test_dev_token_of_maskinporten_for_self_service(world: World) -> None:
    async def given(**params: str) -> Any:
        return await world.http.get("/dev/tokens/GetMaskinportenToken", params=params)

    answer = await given(orgNo="312718286", scopes="idporten:dcr.read", supplierOrgNo="991825827")
    claims = payload_of(answer.text)
    assert claims["iss"] == BASE + "/maskinporten/"
    assert claims["consumer"]["ID"] == "0192:312718286" and claims["supplier"]["ID"] == "0192:991825827"
    assert claims["exp"] - claims["iat"] == 120 and claims["scope"] == "idporten:dcr.read"
    bearer = {"Authorization": f"Bearer {answer.text}"}
    assert (await world.http.get("/selfservice/api/v1/clients", headers=bearer)).status_code == 200
    ended = {"Authorization": f"Bearer {(await given(scopes='idporten:dcr.read', ttl='-60')).text}"}
    assert (await world.http.get("/selfservice/api/v1/clients", headers=ended)).status_code == 401
    assert (await given(orgNo="31271828")).status_code == 400
    assert (await given(ttl="soon")).status_code == 400


async def test_dev_token_endpoint(world: World) -> None:
    answer = await world.http.get(
        "/dev/tokens/GetEnterpriseToken",
        params={"env": "tt02", "org": "ttd", "scopes": CREATE_SCOPE, "ttl": "60"},
    )
    claims = payload_of(answer.text)
    assert claims["urn:altinn:org"] == "ttd" and claims["actual_iss"] == "altinn-test-tools"
    assert claims["exp"] - claims["iat"] == 60
    assert (await world.authorize({"Authorization": f"Bearer {answer.text}"})).creator == "ttd"
    platform = (
        await world.http.get("/dev/tokens/GetPlatformAccessToken", params={"org": "ttd", "app": "a"})
    ).text
    assert (await world.authorize({"PlatformAccessToken": platform})).via == "platform"
    person = (await world.http.get("/dev/tokens/GetPersonalToken", params={"pid": "17849012320"})).text
    caller = await world.authorize({"Authorization": f"Bearer {person}"}, Policy.PERSON)
    assert caller.pid == "17849012320" and caller.creator is None


async def test_the_test_tool_says_what_a_load_script_asks_for(world: World) -> None:
    """The public tool's parameters (5.8), each where it ends up in the token."""

    async def claims(name: str, **query: Any) -> dict[str, Any]:
        answer = await world.http.get(f"/dev/tokens/Get{name}Token", params={"env": "tt02"} | query)
        assert answer.status_code == 200, answer.text
        return payload_of(answer.text)

    person = await claims(
        "Personal",
        userId=20001337, partyId=50001337, partyuuid="7c1f9a52-8f0e-4a53-9d39-5d0a6b0f2e11", userName="kari",
        pid="17849012320", authLvl=3, consumerOrgNo="312718286", clientAmr="private_key_jwt",
    )  # fmt: skip
    assert person["nameid"] == person["urn:altinn:userid"] == "20001337"
    assert person["urn:altinn:partyid"] == 50001337 and person["urn:altinn:username"] == "kari"
    assert person["urn:altinn:party:uuid"] == "7c1f9a52-8f0e-4a53-9d39-5d0a6b0f2e11"
    assert person["acr"] == "idporten-loa-substantial" and person["client_amr"] == "private_key_jwt"
    assert person["consumer"]["ID"] == "0192:312718286" and person["pid"] == "17849012320"

    identifier = "8d0a6b0f-8f0e-4a53-9d39-5d0a6b0f2e11"
    system = await claims("SystemUser", systemUserId=identifier, systemUserOrg="312718286")
    (entry,) = system["authorization_details"]
    assert entry["type"] == "urn:altinn:systemuser" and entry["systemuser_id"] == [identifier]
    assert entry["systemuser_org"]["ID"] == "0192:312718286" and system["scope"] == "altinn:enduser"
    assert "urn:altinn:org" not in system and system["urn:altinn:authenticatemethod"] == "systemuser"

    user = await claims(
        "EnterpriseUser", orgNo="312718286", partyId=50001337, userId=20001337, userName="acme", ttl=60
    )
    assert user["urn:altinn:userid"] == 20001337 and user["exp"] - user["iat"] == 60
    assert user["urn:altinn:authenticatemethod"] == "virksomhetsbruker"

    selfmade = await claims("SelfIdentifiedUser", username="SIUser7", partyId=51001337)
    assert selfmade["urn:altinn:username"] == "SIUser7" and selfmade["urn:altinn:partyid"] == 51001337
    assert selfmade["urn:altinn:authlevel"] == 0 and "pid" not in selfmade
    for name, query in (
        ("SystemUser", {"systemUserId": "x"}),
        ("EnterpriseUser", {"orgNo": "312718286"}),
        ("Personal", {"userId": "abc"}),
        ("SelfIdentifiedUser", {"partyId": "abc"}),
        ("Enterprise", {"bulkCount": "1001"}),
    ):
        assert (await world.http.get(f"/dev/tokens/Get{name}Token", params=query)).status_code == 400


@pytest.mark.parametrize("name", ["Enterprise", "Personal"])
async def test_the_test_tool_gives_many_at_once(world: World, name: str) -> None:
    answer = await world.http.get(f"/dev/tokens/Get{name}Token", params={"bulkCount": 12, "org": "ttd"})
    tokens = answer.json()
    assert len(tokens) == 12 and answer.headers["cache-control"] == "no-store"
    for number, token in tokens.items():
        said = payload_of(token)
        assert number == (said["urn:altinn:orgNumber"] if name == "Enterprise" else said["pid"])
        assert (is_organisation if name == "Enterprise" else is_synthetic)(number)
    assert len(set(national_numbers(1000))) == len(set(organisation_numbers(1000))) == 1000
    assert all(map(is_synthetic, national_numbers(1000)))


@pytest.mark.parametrize(
    ("accept", "quoted"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/json, text/plain, */*", True),
        ("text/plain, application/json", False),
        ("text/plain;q=0.5, application/json", True),
        ("application/json;q=0", False),
        ("application/json;q=x", False),
    ],
)
async def test_the_token_is_quoted_for_those_who_prefer_json(world: World, accept: str, quoted: bool) -> None:
    answer = await world.exchange(await world.maskinporten_token(), headers={"Accept": accept})
    assert answer.status_code == 200 and answer.text.startswith('"') is quoted
    assert answer.headers["content-type"].startswith("application/json" if quoted else "text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
