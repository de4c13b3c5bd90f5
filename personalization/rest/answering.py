"""What leaves the edge: JSON bytes in a plain response, with the headers every answer carries."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
from flask import Response

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

JSON = "application/json"
REQUEST_ID = "personalization.request_id"
#: Where a guard leaves the rate limit's headers for the answer.
LIMIT_HEADERS = "personalization.limit_headers"

_SAFE_ID = re.compile(r"[A-Za-z0-9._~:+/=@-]{1,128}")


def _plain(value: Any) -> Any:
    """Arithmetic in the house leaves numpy's numbers behind."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


def answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer. NaN and infinity, which JSON cannot say, become null."""
    return Response(_encode(document), status, headers, content_type=JSON)


def nothing() -> Response:
    return Response(status=204)


def encoded(document: Any) -> bytes:
    return _encode(document)


def request_id(environ: dict[str, Any]) -> str:
    """The caller's X-Request-Id when it is 1-128 safe characters, else a fresh one; the same for the whole request."""
    known = environ.get(REQUEST_ID)
    if known is None:
        sent = environ.get("HTTP_X_REQUEST_ID", "")
        known = environ[REQUEST_ID] = sent if _SAFE_ID.fullmatch(sent) else os.urandom(16).hex()
    return str(known)


class Finishing:
    """WSGI middleware with the headers of every answer; nobody may cache it or guess its type.

    It stands outside Flask, where a header costs a tenth of what it costs inside.
    """

    def __init__(self, app: WSGI) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            headers += ("X-Request-Id", request_id(environ)), ("X-Content-Type-Options", "nosniff")
            if not any(name == "Cache-Control" for name, _ in headers):
                headers.append(("Cache-Control", "no-store"))
            headers += environ.get(LIMIT_HEADERS, ())
            return start_response(status, headers, exc_info)

        return self._app(environ, start)
