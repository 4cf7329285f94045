"""Settings by the names in use, key vaults, and the environments: docs/reference/identity.md 8 and 9.1."""

from __future__ import annotations

import base64
import json
import sys
import types

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.client.test_keys import certificate, pem_of, private
from varsel.client import (
    ENVIRONMENTS,
    AltinnTokens,
    AzureKeyVault,
    ConfigurationError,
    FileSecrets,
    KeyRefused,
    Maskinporten,
    SecretLoader,
    environment,
    load_settings,
)
from varsel.client._settings import environment_of

__all__ = ["certificate", "private"]


@pytest.mark.parametrize(
    ("name", "platform", "maskinporten", "idporten", "self_service"),
    [
        ("at22", "https://platform.at22.altinn.cloud", "https://test.maskinporten.no/", "https://test.idporten.no", "https://api.test.samarbeid.digdir.no/api/v1"),
        ("YT01", "https://platform.yt01.altinn.cloud", "https://test.maskinporten.no/", "https://test.idporten.no", "https://api.test.samarbeid.digdir.no/api/v1"),
        ("tt02", "https://platform.tt02.altinn.no", "https://test.maskinporten.no/", "https://test.idporten.no", "https://api.test.samarbeid.digdir.no/api/v1"),
        ("PROD", "https://platform.altinn.no", "https://maskinporten.no/", "https://idporten.no", "https://api.samarbeid.digdir.no/api/v1"),
        ("ver2", "https://platform.tt02.altinn.no", "https://test.maskinporten.no/", "https://test.idporten.no", "https://api.test.samarbeid.digdir.no/api/v1"),
        ("https://varsel.example.org/", "https://varsel.example.org", "https://varsel.example.org/maskinporten/", "https://varsel.example.org/idporten", "https://varsel.example.org/selfservice/api/v1"),
        ("http://127.0.0.1:5090", "http://127.0.0.1:5090", "http://127.0.0.1:5090/maskinporten/", "http://127.0.0.1:5090/idporten", "http://127.0.0.1:5090/selfservice/api/v1"),
    ],
)  # fmt: skip
def test_the_table_of_environments(name, platform, maskinporten, idporten, self_service):
    found = environment(name)
    assert (found.platform, found.maskinporten, found.idporten, found.self_service) == (
        platform,
        maskinporten,
        idporten,
        self_service,
    )
    assert found.notifications == f"{platform}/notifications/api/v1"
    assert found.exchange == f"{platform}/authentication/api/v1/exchange"
    assert found.issuer == f"{platform}/authentication/api/v1/openid/"
    assert environment(found) is found


def test_one_of_them_is_production():
    assert [name for name, one in ENVIRONMENTS.items() if one.production] == ["production"]
    assert ENVIRONMENTS["tt02"].delegation_source == "https://tt02.altinn.no/"
    assert ENVIRONMENTS["at22"].apps_of("ttd") == "https://ttd.apps.at22.altinn.cloud"
    assert ENVIRONMENTS["yt01"].apps_of("ttd") == "https://ttd.apps.yt01.altinn.cloud"
    assert ENVIRONMENTS["tt02"].apps_of("ttd") == "https://ttd.apps.tt02.altinn.no"
    assert ENVIRONMENTS["production"].apps_of("skd") == "https://skd.apps.altinn.no"
    assert ENVIRONMENTS["at22"].organisations == "https://altinncdn.no/orgs/altinn-orgs.json"
    assert (
        environment("https://varsel.example.org").organisations
        == "https://varsel.example.org/orgs/altinn-orgs.json"
    )
    with pytest.raises(ConfigurationError, match="no Altinn apps"):
        environment("https://varsel.example.org").apps_of("ttd")
    with pytest.raises(ConfigurationError, match="service owner code"):
        ENVIRONMENTS["tt02"].apps_of("evil.example.org/")
    assert environment("local").platform == "http://127.0.0.1:5090"


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "tt03",
        "ftp://a.example.org",
        "http://varsel.example.org",
        "https://",
        "https://a.example.org/?x=1",
    ],
)
def test_what_is_no_environment(odd):
    with pytest.raises(ConfigurationError):
        environment(odd)


def test_every_family_of_names(key, private, certificate, tmp_path):
    encoded, jwk = key.encoded_jwk(), key.private_jwk()
    (tmp_path / "key.json").write_text(json.dumps(jwk), "utf-8")
    packed = pkcs12.serialize_key_and_certificates(
        b"x", private, certificate, None, serialization.BestAvailableEncryption(b"secret")
    )
    (tmp_path / "cert.p12").write_bytes(packed)
    families = {
        "varsel": {"VARSEL_SDK_CLIENT_ID": "x", "VARSEL_SDK_ENCODED_JWK": encoded, "VARSEL_SDK_ENVIRONMENT": "tt02"},
        "varsel file": {"VARSEL_SDK_CLIENT_ID": "x", "VARSEL_SDK_KEY_FILE": str(tmp_path / "key.json")},
        "altinn": {"ClientId": "x", "EncodedJwk": encoded, "Scope": "a:b c:d", "Environment": "ver2", "EnableDebugLogging": True},
        "altinn app": {"Authority": "https://test.maskinporten.no/", "ClientId": "x", "Jwk": jwk},
        "altinn app base64": {"Authority": "https://test.maskinporten.no", "ClientId": "x", "JwkBase64": encoded},
        "load tests": {"mpClientId": "x", "encodedJwk": encoded, "mpKid": "other"},
        "nais": {"MASKINPORTEN_CLIENT_ID": "x", "MASKINPORTEN_CLIENT_JWK": json.dumps(jwk), "MASKINPORTEN_SCOPES": "a:b",
                 "MASKINPORTEN_WELL_KNOWN_URL": "https://test.maskinporten.no/.well-known/oauth-authorization-server"},
        "pymaskinporten": {"MASKINPORTEN_CLIENT_ID": "x", "PRIVATE_KEY": pem_of(private).replace("\n", "\\n"), "KID": "k", "SCOPE": "a:b"},
        "x509": {"ClientId": "x", "EncodedX509": base64.b64encode(packed).decode(), "CertificatePkcs12Password": "secret"},
        "pkcs12": {"ClientId": "x", "CertificatePkcs12Path": str(tmp_path / "cert.p12"), "CertificatePkcs12Password": "secret"},
    }  # fmt: skip
    made = {name: Maskinporten.from_environment(settings) for name, settings in families.items()}
    assert all(one.client_id == "x" and one.environment.name == "tt02" for one in made.values())
    assert made["altinn"].scope == "a:b c:d"
    assert made["load tests"].kid == "other"
    assert made["pymaskinporten"].kid == "k"
    assert made["x509"].kid is made["pkcs12"].kid is None


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, None),
        ({"Environment": "prod"}, "production"),
        ({"Environment": "test", "TokenExchangeEnvironment": "at23"}, "at23"),
        ({"MASKINPORTEN_ISSUER": "https://maskinporten.no/"}, "production"),
        ({"MASKINPORTEN_ISSUER": "http://127.0.0.1:5090/maskinporten/"}, "varsel"),
    ],
)
def test_which_environment(settings, name):
    found = environment_of(settings)
    assert (found and found.name) == name


def test_a_maskinporten_of_ones_own_needs_an_environment_beside_it():
    own = {"Authority": "https://mock.example.org/maskinporten2"}
    with pytest.raises(ConfigurationError, match="name the environment too"):
        environment_of(own)
    found = environment_of({**own, "Environment": "tt02"})
    assert (found.platform, found.maskinporten) == (
        "https://platform.tt02.altinn.no",
        "https://mock.example.org/maskinporten2/",
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "identifier is missing"),
        ({"ClientId": " "}, "identifier is missing"),
        ({"ClientId": "x"}, "key is missing"),
        ({"ClientId": "x", "EncodedJwk": "!"}, "not base64"),
        ({"ClientId": "x", "EncodedX509": "abc"}, "EncodedX509"),
        ({"ClientId": "x", "CertificatePkcs12Path": "/nowhere/cert.p12"}, "cannot be read"),
        ({"ClientId": "x", "CertificateStoreThumbprint": "c0ffee"}, "store of Windows"),
        ({"ClientId": "x", "EnterpriseUserName": "u"}, "no longer exist"),
    ],
)
def test_what_is_missing_is_named(settings, words):
    with pytest.raises(ConfigurationError, match=words):
        Maskinporten.from_mapping(settings)


def test_exchange_settings(key):
    settings = {"ClientId": "x", "EncodedJwk": key.encoded_jwk(), "Environment": "tt02"}
    assert AltinnTokens.from_mapping({**settings, "UseAltinnTestOrg": True})._test_org
    assert AltinnTokens.from_mapping({**settings, "UseAltinnTestOrg": "true"})._test_org
    assert not AltinnTokens.from_mapping({**settings, "UseAltinnTestOrg": False})._test_org
    assert not AltinnTokens.from_mapping(settings)._test_org


def test_the_surroundings_are_read_when_none_are_given(key, monkeypatch):
    monkeypatch.setenv("VARSEL_SDK_CLIENT_ID", "from-outside")
    monkeypatch.setenv("VARSEL_SDK_ENCODED_JWK", key.encoded_jwk())
    from varsel.client import Notifications

    assert Maskinporten.from_environment().client_id == "from-outside"
    assert "from-outside" in repr(Notifications.from_environment())
    assert "from-outside" in repr(AltinnTokens.from_environment())


def test_the_server_beside_the_client_is_not_disturbed():
    from varsel.runtime.settings_sources import load

    assert load({"VARSEL_SDK_CLIENT_ID": "x", "VARSEL_PORT": "7"}).port == 7


def test_settings_files(tmp_path, key):
    section = {"Environment": "tt02", "ClientId": "x", "EncodedJwk": key.encoded_jwk()}
    path = tmp_path / "appsettings.json"
    path.write_text(
        "\ufeff" + json.dumps({"SendConditionClient": {"MaskinportenSettings": section}}), "utf-8"
    )
    assert Maskinporten.from_file(path, "SendConditionClient:MaskinportenSettings").client_id == "x"
    assert (
        Maskinporten.from_file(path, "SendConditionClient.MaskinportenSettings", scope="a:b").scope == "a:b"
    )
    toml = tmp_path / "settings.toml"
    toml.write_text(f'ClientId = "x"\nEncodedJwk = "{key.encoded_jwk()}"\n', "utf-8")
    assert Maskinporten.from_file(toml).client_id == "x"
    for odd, words in ((path, "no section"), (tmp_path / "none.json", "no settings file")):
        with pytest.raises(ConfigurationError, match=words):
            Maskinporten.from_file(odd, "A.B")
    path.write_text('{"EncodedJwk": "c2VjcmV0', "utf-8")
    with pytest.raises(ConfigurationError, match="neither readable") as caught:
        Maskinporten.from_file(path)
    assert "c2VjcmV0" not in str(caught.value)


# ---- vaults ----


def test_secrets_in_files(tmp_path, key):
    (tmp_path / "ClientId").write_text("x\n", "utf-8")
    (tmp_path / "EncodedJwk").write_text(key.encoded_jwk() + "\n", "utf-8")
    (tmp_path / "broken").write_bytes(b"\xff")
    loader = FileSecrets(tmp_path)
    assert isinstance(loader, SecretLoader)
    settings = load_settings(loader)
    assert set(settings) == {"ClientId", "EncodedJwk"}
    assert Maskinporten.from_mapping(settings).client_id == "x"
    assert load_settings(loader, {"Scope": "ClientId"}) == {"Scope": "x"}
    for name in ("../ClientId", "..", "a\\b", "broken"):
        with pytest.raises(ConfigurationError):
            loader.load(name)


class ResourceNotFoundError(Exception):
    pass


class Vault:
    def __init__(self, vault_url="", credential=None):
        self.asked = []

    def get_secret(self, name):
        self.asked.append(name)
        if name == "gone":
            raise ResourceNotFoundError
        if name == "locked":
            raise PermissionError("https://vault/secret-value")
        return types.SimpleNamespace(value=None if name == "empty" else f"value of {name}")


def test_azure_key_vault():
    client = Vault()
    vault = AzureKeyVault(client=client)
    assert vault.load("SendCondition:EncodedJwk") == "value of SendCondition--EncodedJwk"
    assert vault.load("gone") is None
    assert vault.load("empty") is None
    with pytest.raises(ConfigurationError, match="locked") as caught:
        vault.load("locked")
    assert "secret-value" not in str(caught.value)


def test_azure_key_vault_by_address(monkeypatch):
    with pytest.raises(ConfigurationError, match=r"varsel\[azure\]"):
        monkeypatch.setitem(sys.modules, "azure.identity", None)
        AzureKeyVault("https://v.vault.azure.net")
    for name in ("azure", "azure.keyvault"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "azure.identity", types.SimpleNamespace(DefaultAzureCredential=object))
    monkeypatch.setitem(sys.modules, "azure.keyvault.secrets", types.SimpleNamespace(SecretClient=Vault))
    assert AzureKeyVault("https://v.vault.azure.net").load("a_b") == "value of a-b"


def test_a_key_of_the_wrong_kind_in_a_mapping():
    with pytest.raises(KeyRefused):
        Maskinporten.from_mapping({"ClientId": "x", "Jwk": {"kty": "EC"}})
