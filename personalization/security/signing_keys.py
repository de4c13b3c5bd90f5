"""The keys that tokens are verified with, each bound to one algorithm for good. Pure.

A token's header names an algorithm, but a key is only ever used with its own (RFC 8725, 3.1): a public key never serves as
an HMAC secret, whatever a token says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from personalization.errors import MisconfiguredError

HS256, RS256, ES256 = "HS256", "RS256", "ES256"
ALGORITHMS = frozenset({HS256, RS256, ES256})
MINIMUM_RSA_BITS = 2048
#: Of a longer key set only the first are looked at.
_MOST_KEYS = 100
_MOST_MEMBERS = 8_192


@dataclass(frozen=True)
class VerificationKey:
    """material: the secret's bytes for HS256, a public key of `cryptography` else; kid: what its publisher calls it."""

    algorithm: str
    material: Any
    kid: str | None = None

    @property
    def description(self) -> str:
        size = f"RSA of {self.material.key_size} bits" if self.algorithm == RS256 else "EC P-256"
        return f"{size} for {self.algorithm}{f' (kid {self.kid})' if self.kid else ''}"


def key_of_secret(secret: str) -> VerificationKey:
    return VerificationKey(HS256, secret.encode())


def key_of_pem(pem: str) -> VerificationKey:
    """A public key as PEM; line ends may be written as \\n. Raises MisconfiguredError saying what it is instead."""
    text = pem.replace("\\n", "\n").strip()
    if "PRIVATE KEY" in text:
        raise MisconfiguredError("JWT_PUBLIC_KEY holds a private key: give only its public half (`openssl pkey -pubout`)")
    if "CERTIFICATE" in text:
        raise MisconfiguredError("JWT_PUBLIC_KEY holds a certificate: give its key alone (`openssl x509 -pubkey -noout`)")
    try:
        material = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise MisconfiguredError("JWT_PUBLIC_KEY is not a public key in PEM (-----BEGIN PUBLIC KEY-----)") from None
    algorithm = _algorithm_of(material)
    if algorithm is None:
        raise MisconfiguredError(
            f"JWT_PUBLIC_KEY is too weak or of another kind: use RSA of {MINIMUM_RSA_BITS} or more bits (RS256) or EC P-256 (ES256)"
        )
    return VerificationKey(algorithm, material)


def keys_of_set(document: bytes) -> tuple[VerificationKey, ...]:
    """The usable keys of a JWK set (RFC 7517): RSA and EC keys for verifying signatures with RS256 and ES256. Others are
    passed over, symmetric ones above all. Raises ValueError when the document is no JWK set."""
    try:
        found = json.loads(document)
    except (ValueError, RecursionError) as broken:
        raise ValueError("it is not JSON") from broken
    if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
        raise ValueError('it is no JWK set: there is no list under "keys"')
    return tuple(_usable(found["keys"][:_MOST_KEYS]))


def _usable(entries: Sequence[Any]) -> Iterator[VerificationKey]:
    for entry in entries:
        if isinstance(entry, dict) and _meant_for_signatures(entry):
            material = _material(entry)
            algorithm = _algorithm_of(material)
            if algorithm is not None and entry.get("alg", algorithm) == algorithm:
                kid = entry.get("kid")
                yield VerificationKey(algorithm, material, kid if isinstance(kid, str) and kid else None)


def _meant_for_signatures(entry: Mapping[str, Any]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _material(entry: Mapping[str, Any]) -> Any:
    """The public key; private members are not even looked at. None when it cannot be read."""
    reader, names = _READERS.get(str(entry.get("kty")), (None, ()))
    members = {name: entry.get(name) for name in names}
    if reader is None or not all(isinstance(value, str) and len(value) <= _MOST_MEMBERS for value in members.values()):
        return None
    try:
        return reader({"kty": entry["kty"], **members})
    except (PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
        return None


_READERS: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "RSA": (RSAAlgorithm.from_jwk, ("n", "e")),
    "EC": (ECAlgorithm.from_jwk, ("crv", "x", "y")),
}


def _algorithm_of(material: Any) -> str | None:
    """The one algorithm this key is used with; None for a key that is too weak or of another kind."""
    if isinstance(material, RSAPublicKey):
        return RS256 if material.key_size >= MINIMUM_RSA_BITS else None
    if isinstance(material, EllipticCurvePublicKey):
        return ES256 if isinstance(material.curve, SECP256R1) else None
    return None
