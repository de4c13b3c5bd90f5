from __future__ import annotations

import json
from typing import Any

import pytest

from personalization.errors import MisconfiguredError
from personalization.security.signing_keys import key_of_pem, keys_of_set
from tests.signing import jwk, key_set, private_pem, public_pem


@pytest.mark.parametrize(("name", "algorithm"), [("rsa", "RS256"), ("ec", "ES256")])
def test_a_pem_is_bound_to_one_algorithm(name: str, algorithm: str) -> None:
    assert key_of_pem(public_pem(name)).algorithm == algorithm
    assert key_of_pem(public_pem(name).replace("\n", "\\n")).algorithm == algorithm


@pytest.mark.parametrize(
    ("pem", "finding"),
    [
        (lambda: private_pem("rsa"), "private key"),
        (lambda: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "certificate"),
        (lambda: "s3cret" * 10, "not a public key"),
        (lambda: public_pem("rsa1024"), "too weak"),
        (lambda: public_pem("p384"), "of another kind"),
        (lambda: public_pem("ed25519"), "of another kind"),
    ],
)
def test_what_is_no_good_public_key_is_called_by_its_name(pem: Any, finding: str) -> None:
    with pytest.raises(MisconfiguredError, match=finding):
        key_of_pem(pem())


def test_keys_for_signatures_are_taken_from_a_set() -> None:
    keys = keys_of_set(
        key_set(
            jwk("rsa", kid="a", alg="RS256", key_ops=["verify"]),
            jwk("ec", kid="b"),
            jwk("rsa2", use=...),
        )
    )
    assert [(key.algorithm, key.kid) for key in keys] == [("RS256", "a"), ("ES256", "b"), ("RS256", None)]


UNFIT: dict[str, Any] = {
    "a secret": lambda: {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
    "a secret that calls itself RS256": lambda: {"kty": "oct", "k": "c2VjcmV0", "alg": "RS256", "use": "sig"},
    "for encryption": lambda: jwk("rsa", use="enc"),
    "for signing only": lambda: jwk("rsa", key_ops=["sign"]),
    "operations that are no list": lambda: jwk("rsa", key_ops="verify"),
    "of another algorithm": lambda: jwk("rsa", alg="PS256"),
    "an RSA key that calls itself HS256": lambda: jwk("rsa", alg="HS256"),
    "of another family's algorithm": lambda: jwk("ec", alg="RS256"),
    "too short": lambda: jwk("rsa1024"),
    "of another curve": lambda: jwk("p384"),
    "without its modulus": lambda: jwk("rsa", n=...),
    "with a number for a modulus": lambda: jwk("rsa", n=7),
    "with a modulus that is no base64": lambda: jwk("rsa", n="!!!"),
    "an absurdly large modulus": lambda: jwk("rsa", n="A" * 1_000_000),
    "a point off the curve": lambda: jwk("ec", x=jwk("ec")["y"]),
    "no object": lambda: "key",
}


@pytest.mark.parametrize("unfit", UNFIT.values(), ids=UNFIT.keys())
def test_a_key_that_is_not_fit_is_passed_over(unfit: Any) -> None:
    keys = keys_of_set(key_set(unfit(), jwk("ec", kid="good")))
    assert [key.kid for key in keys] == ["good"]


def test_a_private_key_published_by_mistake_serves_by_its_public_half() -> None:
    from jwt.algorithms import RSAAlgorithm

    from tests.signing import private_key

    leaked = RSAAlgorithm.to_jwk(private_key("rsa"), as_dict=True) | {"key_ops": ["verify"], "use": "sig"}
    (key,) = keys_of_set(key_set(leaked))
    assert not hasattr(key.material, "sign")


@pytest.mark.parametrize("document", [b"", b"<html>", b"[]", b'{"keys": {}}', b"[" * 100_000, json.dumps({"key": []}).encode()])
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match="it is"):
        keys_of_set(document)
