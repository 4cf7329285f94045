"""`varsel jwk`: keys of integrations (docs/reference/identity.md 4), made and read on this machine alone."""

from __future__ import annotations

import os
import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from varsel.cli.calling import Json, Refused, WrongInput, print_json, told
from varsel.cli.terminal import complain, say

if TYPE_CHECKING:
    from varsel.client import SigningKey

File = Annotated[
    Path,
    Parameter(
        help="File with the key: JWK, EncodedJwk or PEM; - reads standard input.", allow_leading_hyphen=True
    ),
]
Kid = Annotated[str | None, Parameter(help="Name of the key, when the file has none.")]


def new(
    kid: Annotated[str, Parameter(help="Name of the key: letters, digits, '.', '_' and '-'.")],
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="File for the private key; made with mode 0600, never overwritten.")
    ] = None,
    bits: Annotated[int, Parameter(help="Size: 2048 to 8192.")] = 2048,
    alg: Annotated[str, Parameter(help="RS256, RS384 or RS512.")] = "RS256",
    json: Json = False,
) -> None:
    from varsel.client import SigningKey

    with told():
        key = SigningKey.generate(kid, bits=bits, alg=alg)
        path = write_key(key, out)
    if json:
        print_json({"file": str(path), "public": key.public_jwk()})
        return
    complain(f"The private key is in {path}; keep it secret. The public half, for the self-service portal:")
    say(dumps([key.public_jwk()]))


def write_key(key: SigningKey, out: Path | None) -> Path:
    """Write a private key to a new file of mode 0600; where. WrongInput when the file is there or cannot be."""
    path = out or Path(f"{key.kid}.json")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise WrongInput(f"{path} is there already; a key is never overwritten.") from None
    except OSError as error:
        raise WrongInput(f"{path} cannot be written: {error.strerror}.") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(dumps(key.private_jwk(), indent=2) + "\n")
    return path


def public(file: File, /, *, kid: Kid = None, json: Json = False) -> None:
    with told():
        found = _read(file, kid).public_jwk()
    say(dumps(found, indent=2 if json else None))


def encode(file: File, /, *, kid: Kid = None, json: Json = False) -> None:
    with told():
        encoded = _read(file, kid).encoded_jwk()
    if json:
        print_json({"EncodedJwk": encoded})
    else:
        say(encoded)


def check(file: File, /, *, kid: Kid = None, json: Json = False) -> None:
    from varsel.client._keys import problems

    with told():
        key = _read(file, kid)
        if key.kid is None:
            raise Refused("The key has no kid; give it one, or name it with --kid.")
        faults = problems({**key.private_jwk(), **_head(file)}, named=kid is not None)
        if faults:
            raise Refused(
                f"The key signs, but registration or other libraries refuse it: {'; '.join(faults)}."
            )
    if json:
        print_json({"kid": key.kid, "alg": key.alg, "bits": key.bits})
    else:
        say(f"The key is well: kid {key.kid}, {key.alg}, {key.bits} bits.")


_stdin: list[str] = []


def _text() -> str:
    if not _stdin:
        _stdin.append(sys.stdin.read())
    return _stdin[0]


def _read(file: Path, kid: str | None) -> SigningKey:
    from varsel.client import SigningKey

    if str(file) != "-":
        return SigningKey.from_file(file, kid=kid)
    text = _text()
    if "-----BEGIN" in text:
        return SigningKey.from_pem(text, kid=kid)
    if text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return SigningKey.from_jwk(text.lstrip("\ufeff"), kid=kid)
    return SigningKey.from_encoded_jwk(text, kid=kid)


def _head(file: Path) -> dict[str, str]:
    """The members that SigningKey fills in when they are missing, as the file has them."""
    from varsel.client._keys import _json, _only_key, decode_jwk

    text = _text() if str(file) == "-" else file.read_text("utf-8-sig")
    if "-----BEGIN" in text:
        return {}
    bare = text.lstrip("\ufeff \t\r\n")
    jwk = _only_key(_json(bare)) if bare.startswith(("{", "[")) else decode_jwk(text)
    return {name: jwk.get(name, "") for name in ("use", "alg", "kid")}
