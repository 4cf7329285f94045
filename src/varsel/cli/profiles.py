"""Profiles: environments with their credentials, by name. One file without secrets; keys go to the keyring or files of mode 0600.

$XDG_CONFIG_HOME/varsel/profiles.json   {"default": "tt02", "profiles": {"tt02": {"environment": …, "client_id": …, "scope": …, "key": "file"}}}
                       …/keys/tt02.json the key, where no keyring is installed
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from varsel.cli.calling import Json, WrongInput, print_json, table, told
from varsel.cli.terminal import say

if TYPE_CHECKING:
    from varsel.client import Environment, SigningKey

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEYRING: Final = "varsel"
CREATE: Final = "altinn:serviceowner/notifications.create"


def config_directory() -> Path:
    """VARSEL_SDK_CONFIG; else $XDG_CONFIG_HOME/varsel, else ~/.config/varsel."""
    named = os.environ.get("VARSEL_SDK_CONFIG")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".config") / "varsel"
    except RuntimeError:
        raise WrongInput("This account has no home directory; name one in VARSEL_SDK_CONFIG.") from None


@dataclass(frozen=True, slots=True)
class Profile:
    """One row. `kept` says where its key is: `keyring`, `file`, or None when it has none."""

    name: str
    environment: str
    client_id: str | None = None
    scope: str = CREATE
    kid: str | None = None
    kept: str | None = None

    def needed_client_id(self) -> str:
        if self.client_id is None:
            raise WrongInput(
                f"The profile {self.name} has no integration; add it anew with --client-id and --key."
            )
        return self.client_id

    def key(self) -> SigningKey:
        from varsel.client import SigningKey

        if self.kept == "keyring":
            encoded = _keyring().get_password(_KEYRING, self.name)
            if not encoded:
                raise WrongInput(f"The keyring no longer holds the key of {self.name}; add the profile anew.")
            return SigningKey.from_encoded_jwk(encoded, kid=self.kid)
        if self.kept == "file":
            path = key_file(self.name)
            with contextlib.suppress(OSError):
                if path.stat().st_mode & 0o077:
                    raise WrongInput(f"{path} can be read by others; make it yours alone: chmod 600 {path}")
            return SigningKey.from_file(path, kid=self.kid)
        raise WrongInput(f"The profile {self.name} has no key; add it anew with --key.")


class Book:
    """All profiles, as the file has them."""

    def __init__(self, default: str | None, profiles: dict[str, Profile]) -> None:
        self.default = default
        self.profiles = profiles

    @classmethod
    def open(cls) -> Book:
        path = config_directory() / "profiles.json"
        try:
            found = json.loads(path.read_text("utf-8"))
            rows = {name: Profile(name, **row) for name, row in found["profiles"].items()}
        except FileNotFoundError:
            return cls(None, {})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise WrongInput(f"{path} cannot be read as profiles; mend or remove it.") from None
        return cls(found.get("default"), rows)

    def named(self, name: str | None) -> Profile:
        found = self.profiles.get(name or self.default or "")
        if found is None:
            known = ", ".join(self.profiles) or "none yet"
            raise WrongInput(f"There is no profile {name or self.default!r}; there are: {known}.")
        return found

    def within(self, place: Environment) -> Profile | None:
        """The profile for an environment: the default one before others, one of the very place before one of the same Maskinporten,
        where an integration counts too (AT22 and TT02 share theirs).
        """
        from varsel.client import environment

        def rank(one: Profile) -> tuple[bool, bool]:
            return environment(one.environment).platform != place.platform, one.name != self.default

        fitting = [
            one
            for one in self.profiles.values()
            if environment(one.environment).maskinporten == place.maskinporten
        ]
        return min(fitting, key=rank, default=None)

    def save(self) -> None:
        rows = {
            one.name: {k: v for k, v in asdict(one).items() if k != "name"} for one in self.profiles.values()
        }
        text = json.dumps({"default": self.default, "profiles": rows}, indent=2) + "\n"
        write_private(config_directory() / "profiles.json", text)


def key_file(name: str) -> Path:
    return config_directory() / "keys" / f"{name}.json"


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner can read; WrongInput when it cannot be."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise WrongInput(f"{path} cannot be written: {error.strerror}.") from None


def _keyring() -> Any:
    """The system's keyring; ImportError without the package."""
    import importlib

    return importlib.import_module("keyring")


def keep(name: str, key: SigningKey, *, file: bool) -> str:
    """Put the key away; where it went."""
    if not file:
        try:
            _keyring().set_password(_KEYRING, name, key.encoded_jwk())
            return "keyring"
        except Exception:  # noqa: S110 - not installed, locked, or no service: the file is the way then
            pass
    write_private(key_file(name), json.dumps(key.private_jwk()) + "\n")
    return "file"


def _forget(profile: Profile) -> None:
    if profile.kept == "keyring":
        with contextlib.suppress(Exception):
            _keyring().delete_password(_KEYRING, profile.name)
    key_file(profile.name).unlink(missing_ok=True)


def add(
    name: Annotated[str, Parameter(help="Name of the profile.")],
    /,
    *,
    env: Annotated[
        str, Parameter(help="Environment: tt02, production, at22 …, or the address of a Varsel.")
    ] = "tt02",
    client_id: Annotated[str | None, Parameter(help="Identifier of the integration.")] = None,
    key: Annotated[Path | None, Parameter(help="Its private key: JWK, EncodedJwk or PEM.")] = None,
    kid: Annotated[str | None, Parameter(help="Name of the key, when the file has none.")] = None,
    scope: Annotated[str, Parameter(help="Scopes, space separated.")] = CREATE,
    file: Annotated[
        bool, Parameter(negative="", help="Keep the key in a file even where there is a keyring.")
    ] = False,
    json: Json = False,
) -> None:
    from varsel.client import SigningKey, environment

    with told():
        if not _NAME.fullmatch(name):
            raise WrongInput("The name of a profile has letters, digits, '.', '_' and '-'.")
        if (client_id is None) != (key is None):
            raise WrongInput("--client-id and --key are given together.")
        environment(env)
        book = Book.open()
        kept = None
        if key is not None:
            loaded = SigningKey.from_file(key, kid=kid)
            if loaded.kid is None:
                raise WrongInput("The key has no kid; give the one under which it is registered with --kid.")
            kept = keep(name, loaded, file=file)
        book.profiles[name] = Profile(name, env, client_id, scope, kid, kept)
        book.default = book.default or name
        book.save()
    if json:
        print_json(asdict(book.profiles[name]))
        return
    where = {"keyring": "; its key is in the keyring", "file": f"; its key is in {key_file(name)}"}.get(
        kept or "", ""
    )
    say(f"Profile {name} is there{where}.")


def listed(*, json: Json = False) -> None:
    with told():
        book = Book.open()
    if json:
        print_json({"default": book.default, "profiles": [asdict(one) for one in book.profiles.values()]})
        return
    rows = [
        [
            ("* " if one.name == book.default else "  ") + one.name,
            one.environment,
            one.client_id or "",
            one.kept or "",
        ]
        for one in book.profiles.values()
    ]
    table(["profile", "environment", "integration", "key"], rows)


def use(name: Annotated[str, Parameter(help="Name of the profile.")], /, *, json: Json = False) -> None:
    with told():
        book = Book.open()
        book.default = book.named(name).name
        book.save()
    if json:
        print_json({"default": book.default})
    else:
        say(f"{name} counts now when no profile is named.")


def remove(name: Annotated[str, Parameter(help="Name of the profile.")], /, *, json: Json = False) -> None:
    with told():
        book = Book.open()
        _forget(book.named(name))
        del book.profiles[name]
        if book.default == name:
            book.default = next(iter(book.profiles), None)
        book.save()
    if json:
        print_json({"removed": name, "default": book.default})
    else:
        say(f"{name} is forgotten." + (f" {book.default} counts now." if book.default else ""))
