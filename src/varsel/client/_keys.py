"""Private keys of a caller: JWK, EncodedJwk, PEM, certificate, or a signer elsewhere (docs/reference/identity.md 4)."""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import re
import warnings
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ._errors import KeyRefused
from ._jws import ALGORITHMS, b64url

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

KID = re.compile(r"[A-Za-z0-9._-]{1,255}")
PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi")
SMALLEST = 2048  # bits
LARGEST = 8192  # bits; a larger one only costs time
#: A key file is a few kilobytes; something else was named. Characters.
LONGEST_TEXT = 64 * 1024

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")


class SigningKey:
    """An RSA private key with its name. Its numbers never show in `repr`, errors or logs."""

    def __init__(self, jwk: Mapping[str, Any], *, kid: str | None = None, alg: str | None = None) -> None:
        faults = problems(jwk, named=kid is not None)
        # `use` matters to those who register the key, and a key with a certificate needs no name.
        fatal = [fault for fault in faults if not fault.startswith(("use ", "kid "))]
        if fatal:
            raise KeyRefused(f"The key cannot be used: {'; '.join(fatal)}.")
        self._jwk = {name: jwk[name] for name in ("n", "e", *PRIVATE_MEMBERS)}
        self._numbers = {name: _number(value) for name, value in self._jwk.items()}
        self._kid = kid if kid is not None else jwk.get("kid")
        self._alg = alg or jwk.get("alg") or "RS256"
        if self._kid is not None and not KID.fullmatch(self._kid):
            raise KeyRefused(_KID_RULE)
        if self._alg not in ALGORITHMS:
            raise KeyRefused(f"alg must be one of {', '.join(ALGORITHMS)}.")
        self._certificates: tuple[bytes, ...] = ()
        self._ready: RSAPrivateKey | None = None

    @property
    def kid(self) -> str | None:
        return self._kid

    @property
    def alg(self) -> str:
        return self._alg

    @property
    def certificates(self) -> tuple[bytes, ...]:
        return self._certificates

    @property
    def bits(self) -> int:
        return self._numbers["n"].bit_length()

    @classmethod
    def generate(cls, kid: str, *, bits: int = SMALLEST, alg: str = "RS256") -> Self:
        """A new key, made on this machine."""
        if not KID.fullmatch(kid):
            raise KeyRefused(_KID_RULE)
        if not SMALLEST <= bits <= LARGEST or bits % 8:
            raise KeyRefused(f"The size must be {SMALLEST} to {LARGEST} bits and divisible by 8.")
        from cryptography.hazmat.primitives.asymmetric import rsa

        return cls(_jwk_of(rsa.generate_private_key(65537, bits)), kid=kid, alg=alg)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any] | str, *, kid: str | None = None) -> Self:
        """A private JWK, as a mapping or as JSON. `kid` overrides the one inside."""
        return cls(_only_key(_json(jwk) if isinstance(jwk, str) else dict(jwk)), kid=kid)

    @classmethod
    def from_encoded_jwk(cls, text: str, *, kid: str | None = None) -> Self:
        """Altinn's setting EncodedJwk: base64 of a private JWK. Forgives white space, base64url, missing padding and raw JSON."""
        return cls(decode_jwk(text), kid=kid)

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], *, kid: str | None = None, password: str | bytes | None = None
    ) -> Self:
        """A file with a JWK, an EncodedJwk or a PEM key."""
        try:
            text = Path(path).read_text("utf-8-sig")
        except FileNotFoundError:
            raise KeyRefused(f"There is no key file {path}.") from None
        except (OSError, UnicodeDecodeError):
            raise KeyRefused(f"The key file {path} cannot be read as text.") from None
        if "-----BEGIN" in text:
            return cls.from_pem(text, kid=kid, password=password)
        if text.lstrip().startswith(("{", "[")):
            return cls.from_jwk(text, kid=kid)
        return cls.from_encoded_jwk(text, kid=kid)

    @classmethod
    def from_pem(
        cls, pem: str | bytes, *, kid: str | None, password: str | bytes | None = None, alg: str = "RS256"
    ) -> Self:
        """A PEM key, and the name under which its public half is registered."""
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(_bytes(pem), None if password is None else _bytes(password))
        except TypeError:
            raise KeyRefused(
                "The PEM key and the password do not fit: one is there without the other."
            ) from None
        except Exception:
            # The library's texts may quote the input.
            raise KeyRefused("The PEM text holds no private key, or the password is wrong.") from None
        if not isinstance(key, RSAPrivateKey):
            raise KeyRefused("The PEM key is not an RSA key; Maskinporten takes RSA only.")
        return cls(_jwk_of(key), kid=kid, alg=alg)

    @classmethod
    def from_certificate(
        cls, certificate: str | bytes, key: str | bytes, *, password: str | bytes | None = None
    ) -> Self:
        """An enterprise certificate (PEM, with its chain after it) and its PEM key: grants carry `x5c` and no `kid`."""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        try:
            chain = x509.load_pem_x509_certificates(_bytes(certificate))
        except ValueError:
            raise KeyRefused("The certificate is not PEM.") from None
        made = cls.from_pem(key, kid=None, password=password)
        return made._certified(tuple(one.public_bytes(Encoding.DER) for one in chain), chain[0])

    @classmethod
    def from_pkcs12(cls, data: bytes, *, password: str | bytes | None = None) -> Self:
        """An enterprise certificate with its key in one PKCS#12 file (`.p12`, `.pfx`)."""
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding
        from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

        try:
            key, leaf, rest = load_key_and_certificates(data, None if password is None else _bytes(password))
        except Exception:
            raise KeyRefused("The PKCS#12 file cannot be opened; is the password right?") from None
        if not isinstance(key, RSAPrivateKey) or leaf is None:
            raise KeyRefused("The PKCS#12 file must hold an RSA key and its certificate.")
        return cls(_jwk_of(key), kid=None)._certified(
            tuple(one.public_bytes(Encoding.DER) for one in (leaf, *rest)), leaf
        )

    def _certified(self, chain: tuple[bytes, ...], leaf: Any) -> Self:
        numbers = leaf.public_key().public_numbers()
        if getattr(numbers, "n", None) != self._numbers["n"]:
            raise KeyRefused("The certificate belongs to another key.")
        self._certificates, self._kid = chain, None
        return self

    def public_jwk(self) -> dict[str, str]:
        """What the self-service portal takes."""
        return {**self._head(), "n": self._jwk["n"], "e": self._jwk["e"]}

    def private_jwk(self) -> dict[str, str]:
        """The whole key. A secret."""
        return {**self._head(), **self._jwk}

    def encoded_jwk(self) -> str:
        """The whole key as the setting EncodedJwk. A secret."""
        return base64.b64encode(json.dumps(self.private_jwk()).encode()).decode("ascii")

    def sign(self, data: bytes) -> bytes:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        kinds = {"RS256": hashes.SHA256(), "RS384": hashes.SHA384(), "RS512": hashes.SHA512()}
        return self._key().sign(data, padding.PKCS1v15(), kinds[self._alg])

    def _head(self) -> dict[str, str]:
        kid = {} if self._kid is None else {"kid": self._kid}
        return {"kty": "RSA", "use": "sig", "alg": self._alg, **kid}

    def _key(self) -> RSAPrivateKey:
        if self._ready is None:
            from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers, RSAPublicNumbers

            of = self._numbers
            numbers = RSAPrivateNumbers(
                p=of["p"], q=of["q"], d=of["d"], dmp1=of["dp"], dmq1=of["dq"], iqmp=of["qi"],
                public_numbers=RSAPublicNumbers(of["e"], of["n"]),
            )  # fmt: skip
            # `problems` has checked that the numbers belong together; the library's check costs 100 ms.
            self._ready = numbers.private_key(unsafe_skip_rsa_key_validation=True)
        return self._ready

    def __repr__(self) -> str:
        return f"SigningKey(kid={self._kid!r}, alg={self._alg!r}, bits={self.bits})"

    def __reduce__(self) -> Any:
        raise TypeError("A SigningKey is not pickled; load it where it is needed.")


class SignerCallback:
    """A key that stays in a vault or a hardware module: `sign` gets bytes and gives an RSASSA-PKCS1-v1_5 signature of them."""

    def __init__(
        self,
        sign: Callable[[bytes], bytes | Awaitable[bytes]],
        *,
        kid: str | None = None,
        alg: str = "RS256",
        certificates: tuple[bytes, ...] = (),
    ) -> None:
        if (kid is None) == (not certificates):
            raise KeyRefused("A signer needs either the kid of its registered key or its certificates.")
        if kid is not None and not KID.fullmatch(kid):
            raise KeyRefused(_KID_RULE)
        if alg not in ALGORITHMS:
            raise KeyRefused(f"alg must be one of {', '.join(ALGORITHMS)}.")
        self.kid, self.alg, self.certificates = kid, alg, certificates
        self.sign = sign

    def __repr__(self) -> str:
        return f"SignerCallback(kid={self.kid!r}, alg={self.alg!r})"


_KID_RULE = "kid must be 1 to 255 of the letters a–z and A–Z, digits, '.', '_' and '-'."


def problems(jwk: Mapping[str, Any], *, named: bool = False) -> list[str]:
    """What is wrong with a private JWK by docs/reference/identity.md 4.2, in words without its values; empty when all is well.

    named: its kid comes from elsewhere.
    """
    found: list[str] = []
    if jwk.get("kty") != "RSA":
        return ["kty must be RSA"]
    if jwk.get("use") != "sig":
        found.append("use must be sig")
    if jwk.get("alg", "RS256") not in ALGORITHMS:
        found.append(f"alg must be one of {', '.join(ALGORITHMS)}")
    if not named and not (isinstance(jwk.get("kid"), str) and KID.fullmatch(jwk["kid"])):
        found.append(_KID_RULE.rstrip("."))
    if not any(jwk.get(name) for name in PRIVATE_MEMBERS):
        return [*found, "it is the public half; the private one is needed"]
    if jwk.get("oth"):
        return [*found, "it has more than two primes"]
    missing = [name for name in ("n", "e", *PRIVATE_MEMBERS) if not jwk.get(name)]
    if missing:
        return [*found, f"{', '.join(missing)} missing"]
    numbers: dict[str, int] = {}
    for name in ("n", "e", *PRIVATE_MEMBERS):
        try:
            numbers[name] = _number(jwk[name])
        except ValueError as error:
            found.append(f"{name} {error}")
    if len(numbers) < len(PRIVATE_MEMBERS) + 2:
        return found
    return found + _arithmetic(numbers)


def _arithmetic(numbers: Mapping[str, int]) -> list[str]:
    n, e, d, p, q, dp, dq, qi = (numbers[name] for name in ("n", "e", *PRIVATE_MEMBERS))
    bits = n.bit_length()
    if not SMALLEST <= bits <= LARGEST:
        return [f"the modulus has {bits} bits, and {SMALLEST} to {LARGEST} are allowed"]
    if p * q != n:
        return ["p times q is not n: its halves belong to different keys"]
    if p < 3 or q < 3 or e < 3 or (e * d) % math.lcm(p - 1, q - 1) != 1:
        return ["e and d do not belong together"]
    if dp != d % (p - 1) or dq != d % (q - 1) or (qi * q) % p != 1:
        return ["dp, dq or qi does not belong to the key"]
    return []


def decode_jwk(text: str) -> dict[str, Any]:
    """The JWK inside an EncodedJwk (docs/reference/identity.md 4.3); KeyRefused says which other thing it is."""
    bare = "".join(text.lstrip("\ufeff").split())
    if not bare:
        raise KeyRefused("EncodedJwk is empty.")
    if len(text) > LONGEST_TEXT:
        raise KeyRefused("EncodedJwk is too long to be a key.")
    if bare.startswith("-----BEGIN"):
        raise KeyRefused("EncodedJwk is a PEM text; use SigningKey.from_pem with its kid, or encode a JWK.")
    if bare.startswith(("{", "[")):
        warnings.warn("EncodedJwk is raw JSON; it should be base64 of it.", stacklevel=3)
        return _only_key(_json(text.lstrip("\ufeff")))
    if not _BASE64.fullmatch(bare):
        raise KeyRefused("EncodedJwk is not base64; encode the private JWK with `varsel jwk encode`.")
    standard = bare.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        inside = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True).decode("utf-8-sig")
    except (binascii.Error, UnicodeDecodeError):
        raise KeyRefused("EncodedJwk is not base64 of a JWK; was it cut off?") from None
    if "-----BEGIN" in inside:
        raise KeyRefused(
            "EncodedJwk holds a PEM text; use SigningKey.from_pem with its kid, or encode a JWK."
        )
    return _only_key(_json(inside))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        # The parser's text would quote the place of the fault, inside a key.
        raise KeyRefused("The key is not JSON; was it cut off?") from None


def _only_key(found: Any) -> dict[str, Any]:
    keys = found.get("keys", [found]) if isinstance(found, dict) else found
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise KeyRefused("The JSON is not a JWK.")
    if len(keys) != 1:
        raise KeyRefused(f"The JSON is a set of {len(keys)} keys; take out the one to sign with.")
    key: dict[str, Any] = keys[0]
    if key.get("kty") == "RSA" and not any(key.get(name) for name in PRIVATE_MEMBERS):
        raise KeyRefused("The JWK is the public half; signing needs the private one.")
    return key


def _number(value: Any) -> int:
    """A base64url number of RFC 7518 6.3; ValueError says what is wrong, without the value."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", value):
        raise ValueError("must be base64url without padding")
    if len(value) > LONGEST_TEXT // 8:
        raise ValueError("is too long")
    try:
        data = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except binascii.Error:
        raise ValueError("must be base64url without padding") from None
    if data[:1] == b"\0":
        raise ValueError("must not begin with a zero byte")
    return int.from_bytes(data, "big")


def _jwk_of(key: RSAPrivateKey) -> dict[str, str]:
    private = key.private_numbers()
    public = private.public_numbers
    numbers = {
        "n": public.n, "e": public.e, "d": private.d, "p": private.p, "q": private.q,
        "dp": private.dmp1, "dq": private.dmq1, "qi": private.iqmp,
    }  # fmt: skip
    encoded = {
        name: b64url(value.to_bytes((value.bit_length() + 7) // 8, "big")) for name, value in numbers.items()
    }
    return {"kty": "RSA", "use": "sig", **encoded}


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
