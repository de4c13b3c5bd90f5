"""The one guarded HTTP client: whatever the house fetches from elsewhere goes through here.

https, or plain http to this very machine; certificates verified; no redirects, no proxies, no credentials from the
environment; a bound on the bytes and on the time of the whole exchange, however slowly the bytes arrive (resolving the
name alone takes the time that the system's resolver takes).
"""

from __future__ import annotations

import io
import ipaddress
import socket
import ssl
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, urlsplit

from personalization.clock import Clock
from personalization.errors import MisconfiguredError, OutboundFailed
from personalization.version import VERSION

_HEADERS = {"User-Agent": f"deep-personalization/{VERSION}", "Accept": "application/json", "Connection": "close"}


def expect_allowed(url: str, setting: str) -> None:
    """Raises MisconfiguredError, naming the setting, unless the URL is one that may be fetched."""
    if reason := _objection(url):
        raise MisconfiguredError(f"{setting}={url!r} {reason}")


class Outbound:
    """Fetches documents; safe to call from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tls: ssl.SSLContext | None = None

    def get(self, url: str, limit: int = 256 * 1024, seconds: float = 5.0) -> bytes:
        """The body of a 200 answer of at most `limit` bytes. Raises OutboundFailed saying what else it was."""
        if reason := _objection(url):
            raise OutboundFailed(url, reason)
        parts = urlsplit(url)
        connection = self._connection(parts, seconds)
        try:
            return self._exchange(connection, parts, limit, self._clock.monotonic() + seconds)
        except (OSError, HTTPException, ValueError) as failure:
            raise OutboundFailed(url, f"does not answer ({failure or type(failure).__name__})") from failure
        except _Unwanted as unwanted:
            raise OutboundFailed(url, str(unwanted)) from None
        finally:
            connection.close()

    def _connection(self, parts: SplitResult, seconds: float) -> HTTPConnection:
        host = parts.hostname or ""
        if parts.scheme == "http":
            return HTTPConnection(host, parts.port, timeout=seconds)
        self._tls = self._tls or ssl.create_default_context()
        return HTTPSConnection(host, parts.port, timeout=seconds, context=self._tls)

    def _exchange(self, connection: HTTPConnection, parts: SplitResult, limit: int, until: float) -> bytes:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=_HEADERS)
        response = HTTPResponse(_Hurried(connection.sock, self._clock, until), method="GET")  # type: ignore[arg-type]
        response.begin()
        if response.status != 200:
            raise _Unwanted(f"answers {response.status}, not 200; redirects are not followed")
        body = response.read(limit + 1)
        if len(body) > limit:
            raise _Unwanted(f"answers more than {limit:,} bytes")
        if response.length:
            raise _Unwanted("does not answer to the end")
        return body


class _Unwanted(Exception):
    """An answer of another kind than wanted."""


class _Hurried(io.RawIOBase):
    """A socket to be read until a moment, and not longer. A plain timeout counts anew for every byte."""

    def __init__(self, sock: socket.socket, clock: Clock, until: float) -> None:
        self._sock, self._clock, self._until = sock, clock, until

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError("it takes too long")
        self._sock.settimeout(left)
        return self._sock.recv_into(buffer)


def _objection(url: str) -> str:
    """Why this URL is not fetched; "" when it may be."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "is not a URL"
    if not parts.hostname or not url.isascii() or not url.isprintable() or " " in url:
        return "is not a URL"
    if parts.username is not None:
        return "must not hold a user or password"
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname)):
        return ""
    return "must begin with https:// (plain http only to this machine, like http://127.0.0.1)"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
