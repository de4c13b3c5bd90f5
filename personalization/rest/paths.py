"""Ids in paths may hold any printable character, an encoded slash included."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from werkzeug.exceptions import UnprocessableEntity
from werkzeug.routing import BaseConverter

from personalization.rest.answering import WSGI

# WSGI decodes the path before it is split. An encoded slash travels as this character, which no id may hold
# (private use, so not printable).
_SLASH = "\ue000"
_SLASH_ENCODED = quote(_SLASH)


class IdConverter(BaseConverter):
    """One path segment, decoded: 1-256 printable characters, or 422."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        id_ = value.replace(_SLASH, "/")
        if len(id_) > 256 or not id_.isprintable():
            raise UnprocessableEntity("An id in the path must be 1-256 printable characters.")
        return id_

    def to_url(self, value: Any) -> str:
        return quote(str(value), safe="")


class EncodedSlashes:
    """WSGI middleware that keeps `%2F` apart from `/`, where the server tells the path as it was sent."""

    def __init__(self, app: WSGI) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        sent: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
        if "%2" in sent:
            path = sent.partition("?")[0]
            if "%2F" in path or "%2f" in path:
                environ["PATH_INFO"] = _decoded(path, environ)
        return self._app(environ, start_response)


def _decoded(path: str, environ: dict[str, Any]) -> str:
    marked = path.replace("%2F", _SLASH_ENCODED).replace("%2f", _SLASH_ENCODED)
    decoded = unquote_to_bytes(marked).decode("latin-1")
    return decoded.removeprefix(environ.get("SCRIPT_NAME", "")) if decoded.startswith("/") else environ["PATH_INFO"]
