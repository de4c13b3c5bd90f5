"""At every door: who is it, may they, not too often. One decorator, in that order, before any body is read.

`@guard(Permission.X, Permission.Y)` asks for one of the permissions, `@guard()` for any credential. The handler gets a
Call, and the rest of its path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Protocol, TypeVar

from flask import Flask, Response, current_app, request

from personalization.clock import Clock
from personalization.errors import Forbidden, Invalid, Unauthenticated
from personalization.rest import strict
from personalization.rest.limits import ColdLimit
from personalization.rest.query import NOTHING, Parameters, read_query
from personalization.rest.sharing import hot_buckets
from personalization.security.access import allowed
from personalization.security.identity import Credentials, Principal, install_tokens
from personalization.security.tokens import token_reader
from personalization.settings import Settings
from personalization.storage.base import ApiKeyStore, RepeatStore, RevocationStore
from personalization.vocabulary import Permission

R = TypeVar("R", bound=Any)

_GATE = "personalization.gate"


class House(Protocol):
    """What the edge needs of the house behind it. `service` raises NotFound; nothing else of it blocks for long."""

    @property
    def keys(self) -> ApiKeyStore: ...
    @property
    def repeats(self) -> RepeatStore: ...
    @property
    def revocations(self) -> RevocationStore: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def settings(self) -> Settings: ...

    def service(self, tenant_id: str) -> Any: ...

    def tenant_exists(self, tenant_id: str) -> bool: ...

    def fetch(self, url: str) -> bytes:
        """A document from elsewhere. Raises OutboundFailed."""
        ...

    def health(self) -> dict[str, Any]: ...

    def stats(self, tenant_id: str) -> dict[str, Any]: ...

    def ready(self) -> tuple[bool, dict[str, Any]]: ...


@dataclass(frozen=True)
class Guard:
    """What a route asks for; the documentation and the tests read it from the handler."""

    any_of: frozenset[Permission]
    hot: bool = False
    key_only: bool = False
    parameters: Parameters = field(default_factory=dict, hash=False)


class Gate:
    """The doorkeeper of one application."""

    def __init__(self, app: Flask, house: House) -> None:
        install_tokens(app, house.settings)
        self.house = house
        tokens = token_reader(house.settings, house.clock, house.fetch)
        self.credentials = Credentials(house.keys, house.revocations, tokens, house.clock, house.tenant_exists)
        self._hot = hot_buckets(house.settings, house.clock)
        self._cold = ColdLimit(app, house.settings, house.clock)
        app.extensions[_GATE] = self

    def admit(self, wanted: Guard, environ: dict[str, Any]) -> Principal:
        """Raises Unauthenticated, Forbidden or RateLimited."""
        authorization = None if wanted.key_only else environ.get("HTTP_AUTHORIZATION")
        try:
            principal = self.credentials.principal(authorization, environ.get("HTTP_X_API_KEY"))
        except Unauthenticated:
            self._cold.take(f"address:{environ.get('REMOTE_ADDR') or '-'}", environ)
            raise
        if wanted.hot:
            self.charge(principal, 1, environ)
        else:
            self._cold.take(_bucket(principal), environ)
        if not allowed(principal.roles, wanted.any_of):
            raise Forbidden(" or ".join(sorted(wanted.any_of)))
        return principal

    def charge(self, principal: Principal, cost: int, environ: dict[str, Any]) -> None:
        """Raises RateLimited."""
        self._hot.take(_bucket(principal), cost, environ)


class Call:
    """One admitted request."""

    __slots__ = ("_gate", "environ", "principal", "query")

    def __init__(self, gate: Gate, principal: Principal, environ: dict[str, Any], query: dict[str, Any]) -> None:
        self._gate, self.principal, self.environ, self.query = gate, principal, environ, query

    @property
    def tenant_id(self) -> str:
        return self.principal.tenant_id

    @property
    def house(self) -> House:
        return self._gate.house

    @property
    def credentials(self) -> Credentials:
        return self._gate.credentials

    @property
    def service(self) -> Any:
        """The caller's tenant's service."""
        return self._gate.house.service(self.principal.tenant_id)

    def body(self, limit: int = strict.SINGLE) -> Any:
        """The JSON of the body. Raises as `strict.json_body`."""
        return strict.json_body(self.environ, limit)

    def optional_body(self) -> Any:
        """The same, {} where nothing was sent."""
        sent = self.environ.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in self.environ
        return self.body() if sent else {}

    def charge_items(self, count: int) -> None:
        """Count the other items of a list; its first was counted at the door. Raises RateLimited."""
        if count > 1:
            self._gate.charge(self.principal, count - 1, self.environ)

    def idempotency_key(self) -> str | None:
        key: str | None = self.environ.get("HTTP_IDEMPOTENCY_KEY")
        if key is not None and not (1 <= len(key) <= 256 and key.isprintable()):
            raise Invalid.field("Idempotency-Key", "must be 1-256 printable characters")
        return key


def guard(
    *any_of: Permission, hot: bool = False, key_only: bool = False, parameters: Parameters = NOTHING
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Let a handler `(self, call, **path)` be reached only by whom `any_of` allows. hot: limited in this process."""
    wanted = Guard(frozenset(any_of), hot, key_only, parameters)

    def guarding(method: Callable[..., Response]) -> Callable[..., Response]:
        @wraps(method)
        def guarded(self: Any, **path: str) -> Response:
            return method(self, admitted(wanted), **path)

        guarded.__guard__ = wanted  # type: ignore[attr-defined]
        return guarded

    return guarding


def admitted(wanted: Guard) -> Call:
    """The present request, once it is let in."""
    gate: Gate = current_app.extensions[_GATE]
    environ = request.environ
    principal = gate.admit(wanted, environ)
    query = {}
    if wanted.parameters or environ.get("QUERY_STRING"):
        query = read_query(wanted.parameters, request.args)
    return Call(gate, principal, environ, query)


def house() -> House:
    """The house of the present application, for the doors that stand open."""
    gate: Gate = current_app.extensions[_GATE]
    return gate.house


def _bucket(principal: Principal) -> str:
    return f"{principal.tenant_id}\0{principal.subject}"
