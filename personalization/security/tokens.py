"""What a bearer token must be (RFC 8725): signed with a key we trust, for us, by the issuer, current, complete, of a known
kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.exceptions import InvalidSignatureError, PyJWTError

from personalization.clock import SECOND, Clock
from personalization.errors import Unauthenticated
from personalization.security.keyring import Keyring, PublishedKeys
from personalization.security.signing_keys import ALGORITHMS, VerificationKey, key_of_pem, key_of_secret
from personalization.settings import Settings
from personalization.vocabulary import Role

AUDIENCE = "personalization"
#: How far the issuer's clock may be ahead of ours, in seconds, for iat and nbf; an expiry is kept to the second.
LEEWAY = 10

_REQUIRED_CLAIMS = ("sub", "tenant_id", "roles", "iss", "aud", "exp", "iat", "jti")
_IDS, _TIMES = ("sub", "tenant_id", "jti"), ("exp", "iat", "nbf")
_ROLES = frozenset(Role)
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
#: Kinds of tokens that issuers make beside access tokens, as their `typ` or `type` claim says.
_OTHER_KINDS = frozenset({"refresh", "offline", "id", "logout"})
_LONGEST = 16_384
_LAST_SECOND = 2**63 // SECOND - 1
#: Signature and addressee are PyJWT's to check, times ours, by the clock handed in.
_OPTIONS: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}


@dataclass(frozen=True)
class Claims:
    """What a verified token says; expires_at in microseconds. key_id: the API key it was exchanged for."""

    tenant_id: str
    subject: str
    roles: frozenset[Role]
    jti: str
    expires_at: int
    key_id: str | None


class TokenReader:
    """Reads tokens of one issuer. Blocks for the network at the very first need of published keys only."""

    def __init__(self, keyring: Keyring, issuer: str, clock: Clock) -> None:
        self._keyring, self._issuer, self._clock = keyring, issuer, clock

    def claims(self, token: str) -> Claims:
        """Raises Unauthenticated saying what is wrong."""
        claims = self._verified(token)
        _expect_complete(claims)
        _expect_current(claims, self._clock.now() / SECOND)
        return _read(claims)

    def unverified(self, token: str) -> Claims | None:
        """What a token says of itself, whoever made it: good for ending it, for nothing else. None when it has ended or
        could never be a token."""
        try:
            claims: Mapping[str, Any] = jwt.decode(token, options={"verify_signature": False})
            _expect_complete(claims)
        except (*_BROKEN, Unauthenticated):
            return None
        return None if claims["exp"] * SECOND <= self._clock.now() else _read(claims)

    def refresh_when_old(self) -> int:
        """As `Keyring.refresh_when_old`."""
        return self._keyring.refresh_when_old()

    def _verified(self, token: str) -> Mapping[str, Any]:
        """The claims of a token that one of the candidate keys signed."""
        header = _header(token)
        failure: Exception = InvalidSignatureError()
        for key in self._keyring.candidates(header["alg"], header.get("kid")):
            try:
                return self._verified_with(key, token)
            except InvalidSignatureError as wrong_key:
                failure = wrong_key
            except _BROKEN as bad:
                raise Unauthenticated(_why(bad)) from None
        raise Unauthenticated(_why(failure))

    def _verified_with(self, key: VerificationKey, token: str) -> Mapping[str, Any]:
        claims: Mapping[str, Any] = jwt.decode(
            token, key.material, algorithms=[key.algorithm], audience=AUDIENCE, issuer=self._issuer, options=_OPTIONS
        )
        return claims


_BROKEN = (PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


def token_reader(settings: Settings, clock: Clock, fetch: Callable[[str], bytes]) -> TokenReader:
    """The reader that the settings ask for. Raises MisconfiguredError when JWT_PUBLIC_KEY is no good."""
    fixed = [key_of_secret(settings.jwt_secret_key or "")]
    if settings.jwt_public_key is not None:
        fixed.append(key_of_pem(settings.jwt_public_key))
    url = settings.jwt_jwks_url
    published = None if url is None else PublishedKeys(lambda: fetch(url), clock)
    return TokenReader(Keyring(fixed, published), settings.jwt_issuer, clock)


def _header(token: str) -> Mapping[str, Any]:
    """The header, of which only alg, kid and typ are looked at: a key that a token brings along is no key."""
    if len(token) > _LONGEST:
        raise Unauthenticated("the token is too long")
    try:
        header: Mapping[str, Any] = jwt.get_unverified_header(token)
    except _BROKEN as bad:
        raise Unauthenticated(_why(bad)) from None
    if header.get("alg") not in ALGORITHMS:
        raise Unauthenticated("the token must be signed with HS256, RS256 or ES256")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Unauthenticated("typ of the token's header must be JWT or at+jwt")
    if "crit" in header:
        raise Unauthenticated("the token has critical extensions that are not known here")
    return header


def _expect_complete(claims: Mapping[str, Any]) -> None:
    for name in _REQUIRED_CLAIMS:
        if claims.get(name) in (None, "", []):
            raise Unauthenticated(f"the token has no {name}")
    _expect_types(claims)


def _read(claims: Mapping[str, Any]) -> Claims:
    key_id = claims.get("key_id")
    return Claims(
        tenant_id=claims["tenant_id"],
        subject=claims["sub"],
        roles=frozenset(map(Role, claims["roles"])),
        jti=claims["jti"],
        expires_at=int(min(claims["exp"], _LAST_SECOND)) * SECOND,
        key_id=key_id if isinstance(key_id, str) else None,
    )


def _expect_types(claims: Mapping[str, Any]) -> None:
    if not all(_is_id(claims[name]) for name in _IDS):
        raise Unauthenticated("sub, tenant_id and jti of the token must be strings of 1-256 printable characters")
    if not all(_is_time(claims[name]) for name in _TIMES if name in claims):
        raise Unauthenticated("exp, iat and nbf of the token must be numbers")
    roles = claims["roles"]
    if not isinstance(roles, list) or not all(isinstance(role, str) and role in _ROLES for role in roles):
        raise Unauthenticated("roles of the token must be a list of known roles")
    if any(str(claims.get(name)).lower() in _OTHER_KINDS for name in ("typ", "type")):
        raise Unauthenticated("only an access token opens anything")


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 256 and value.isprintable()


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e18


def _expect_current(claims: Mapping[str, Any], now: float) -> None:
    if claims["exp"] <= now:
        raise Unauthenticated("the token has expired")
    if claims["iat"] > now + LEEWAY:
        raise Unauthenticated("the token was issued in the future; set the clocks")
    if claims.get("nbf", 0) > now + LEEWAY:
        raise Unauthenticated("the token is not valid yet")


def _why(bad: Exception) -> str:
    return f"the token is not valid ({type(bad).__name__})"
