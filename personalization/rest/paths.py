"""Ids in paths may hold any printable character, an encoded slash included; bytes that are no UTF-8 make none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from werkzeug.exceptions import UnprocessableEntity
from werkzeug.routing import BaseConverter

from personalization.rest.answering import WSGI

# WSGI decodes the path before it is split. An encoded slash travels as this character, which no id may hold
# (private use, so not printable).
_SLASH = "\ue000"
_SLASH_SENT = _SLASH.encode().decode("latin-1")
_STRAY = re.compile("[\ud800-\udfff]")
_URI = "%/:@!$&'()*+,;=~"


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
    """WSGI middleware that keeps `%2F` apart from `/`, where the server tells the path as it was sent, and makes what no id
    may hold of bytes that are not UTF-8, which Werkzeug would replace by a printable character."""

    def __init__(self, app: WSGI) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not environ.get("PATH_INFO", "").isascii():
            environ["PATH_INFO"] = _unmistakable(environ["PATH_INFO"])
        sent: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
        if "%2" in sent:
            path = sent.partition("?")[0]
            if "%2F" in path or "%2f" in path:
                environ["PATH_INFO"] = _decoded(path, environ)
        return self._app(environ, start_response)


def _decoded(path: str, environ: dict[str, Any]) -> str:
    plain = path if path.isascii() else quote(path, safe=_URI, encoding="latin-1")
    pieces = [unquote_to_bytes(piece).decode("latin-1") for piece in plain.replace("%2f", "%2F").split("%2F")]
    decoded = _SLASH_SENT.join(_unmistakable(piece) for piece in pieces)
    return decoded.removeprefix(environ.get("SCRIPT_NAME", "")) if decoded.startswith("/") else environ["PATH_INFO"]


def _unmistakable(path: str) -> str:
    """A WSGI path with NUL for every byte that is not UTF-8, and for a character that would pass for an encoded slash."""
    text = path.encode("latin-1").decode(errors="surrogateescape").replace(_SLASH, "\0")
    return _STRAY.sub("\0", text).encode().decode("latin-1")
