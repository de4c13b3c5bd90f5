"""Creating routes under an Idempotency-Key: the same request twice has one effect and one answer.

`@once()` stands under `@guard`; its handler `(self, call, document, **path)` gets the body already read. Without the header
nothing else changes. With it the first request takes the key, and its answer is kept for 24 hours for the same principal,
route and body; refusals are answers too. A 429 or 5xx is none: it gives the key back. A claim whose process died is taken
over after LEASE.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from hashlib import sha256
from typing import Any

import msgspec
from flask import Response, request
from msgspec import Struct

from personalization.clock import DAY, SECOND
from personalization.errors import KeyReused, PersonalizationError, StillRunning
from personalization.rest.guards import Call
from personalization.rest.problems import problem
from personalization.rest.strict import SINGLE
from personalization.storage.base import CLAIMED, REPEATED, REUSED, Claim

#: How long an answer is kept, and how long a request may be under way before its process counts as dead.
KEPT, LEASE = DAY, 60 * SECOND
REPLAYED = {"Idempotency-Replayed": "true"}

_PASSING = "personalization.passing"
_log = logging.getLogger("personalization.rest")
_pack = msgspec.msgpack.Encoder().encode
_canonical = msgspec.json.Encoder(order="sorted").encode


def once(limit: int = SINGLE) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """limit : bytes of the body"""

    def repeating(handler: Callable[..., Response]) -> Callable[..., Response]:
        @wraps(handler)
        def repeated(self: Any, call: Call, **path: str) -> Response:
            document = call.body(limit)
            key = call.idempotency_key()
            if key is None:
                return handler(self, call, document, **path)
            return _answered(_Attempt.at_the_door(call, key), document, lambda: handler(self, call, document, **path))

        repeated.__once__ = True  # type: ignore[attr-defined]
        return repeated

    return repeating


def item_keys(call: Call, document: Any, count: int) -> list[str | None]:
    """A key for each item of a list, so that what a died or half failed request decided is not decided again."""
    key = call.idempotency_key()
    if key is None:
        return [None] * count
    seed = f"{call.principal.subject}\0{key}\0{sha256(_canonical(document)).hexdigest()}"
    return [f"{seed}\0{index}" for index in range(count)]


def keep_nothing(call: Call) -> None:
    """This answer holds rows that may come out better the next time."""
    call.environ[_PASSING] = True


class _Answer(Struct, array_like=True):
    status: int
    content_type: str
    location: str | None
    body: bytes


def _answered(attempt: _Attempt, document: Any, act: Callable[[], Response]) -> Response:
    """Raises KeyReused or StillRunning."""
    claim = attempt.claim(_canonical(document))
    if claim.status == REUSED:
        raise KeyReused
    if claim.status == REPEATED:
        return _replayed(claim.answer or b"")
    if claim.status != CLAIMED:
        raise StillRunning
    return _first(attempt, act)


def _first(attempt: _Attempt, act: Callable[[], Response]) -> Response:
    try:
        response = act()
    except Exception as failure:
        response = problem(failure)
    except BaseException:
        attempt.release()
        raise
    if passing(response.status_code) or _PASSING in attempt.call.environ:
        attempt.release()
    else:
        attempt.settle(_packed(response))
    return response


def passing(status: int) -> bool:
    """Whether it says nothing about the next time."""
    return status == 429 or status >= 500


def _packed(response: Response) -> bytes:
    location = response.headers.get("Location")
    return _pack(_Answer(response.status_code, response.content_type or "", location, response.get_data()))


def _replayed(packed: bytes) -> Response:
    known = msgspec.msgpack.decode(packed, type=_Answer)
    headers = REPLAYED if known.location is None else {**REPLAYED, "Location": known.location}
    return Response(known.body, known.status, headers, content_type=known.content_type or None)


@dataclass(frozen=True)
class _Attempt:
    """One request with its key, at the instant that names its claim."""

    call: Call
    key: str
    at: int

    @classmethod
    def at_the_door(cls, call: Call, key: str) -> _Attempt:
        named = f"{call.principal.subject}\0{request.method} {request.path}\0{key}"
        return cls(call, named, call.house.clock.now())

    def claim(self, body: bytes) -> Claim:
        return self.call.house.repeats.claim(self.call.tenant_id, self.key, body, self.at, self.at - LEASE, self.at + KEPT)

    def settle(self, answer: bytes) -> None:
        self._tell(lambda: self.call.house.repeats.settle(self.call.tenant_id, self.key, self.at, answer))

    def release(self) -> None:
        self._tell(lambda: self.call.house.repeats.release(self.call.tenant_id, self.key, self.at))

    def _tell(self, act: Callable[[], object]) -> None:
        """What is done is done: the caller gets its answer even when it could not be kept; the claim then ends by itself."""
        try:
            act()
        except PersonalizationError as away:
            _log.warning("an Idempotency-Key could not be settled: %s", away.detail)
