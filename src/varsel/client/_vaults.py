"""Secrets from where they are kept: files, or a key vault behind a small protocol."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ._errors import ConfigurationError

#: Settings of `Maskinporten` that a vault may hold.
NAMES = ("ClientId", "EncodedJwk", "Scope", "Kid", "Environment")


@runtime_checkable
class SecretLoader(Protocol):
    """Gives the text of a secret, or None when there is none of that name."""

    def load(self, name: str) -> str | None: ...


class FileSecrets:
    """One file per secret in a directory, as containers mount them."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)

    def load(self, name: str) -> str | None:
        if "/" in name or "\\" in name or name.startswith("."):
            raise ConfigurationError("The name of a secret is a plain file name.")
        try:
            return (self._directory / name).read_text("utf-8").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError(f"The secret {name} in {self._directory} cannot be read.") from None


class AzureKeyVault:
    """Azure Key Vault; needs `pip install varsel[azure]`.

    url: such as `https://my-vault.vault.azure.net`. credential: of azure-identity; the default finds the machine's own. client: a
    ready `SecretClient` in place of both. Names with characters that a vault does not allow are written with `--`.
    """

    def __init__(self, url: str = "", *, credential: Any = None, client: Any = None) -> None:
        if client is None:
            try:
                identity = importlib.import_module("azure.identity")
                secrets = importlib.import_module("azure.keyvault.secrets")
            except ImportError:
                raise ConfigurationError(
                    "Azure Key Vault needs its libraries; install them with `pip install varsel[azure]`."
                ) from None
            client = secrets.SecretClient(
                vault_url=url, credential=credential or identity.DefaultAzureCredential()
            )
        self._client = client

    def load(self, name: str) -> str | None:
        written = name.replace(":", "--").replace("_", "-").replace(".", "--")
        try:
            value = self._client.get_secret(written).value
        except Exception as error:
            # The library has its own errors, which may be missing here; names tell them apart.
            if type(error).__name__ == "ResourceNotFoundError":
                return None
            raise ConfigurationError(
                f"The key vault did not give the secret {written} ({type(error).__name__})."
            ) from None
        return value if isinstance(value, str) else None


def load_settings(loader: SecretLoader, names: Iterable[str] | Mapping[str, str] = NAMES) -> dict[str, str]:
    """Settings for `Maskinporten.from_mapping` out of a vault. `names`: of the secrets, or setting → name of its secret."""
    wanted = dict(names) if isinstance(names, Mapping) else {name: name for name in names}
    found = {setting: loader.load(secret) for setting, secret in wanted.items()}
    return {setting: value for setting, value in found.items() if value is not None}
