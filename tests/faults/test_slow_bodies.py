"""Slow senders before the service: behind the buffering proxy they hold nothing up; without it they do.

The service has so many threads, and one whose caller sends a byte now and then is not free for others. That is why README asks
for a buffering proxy.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from personalization.clock import SystemClock, rfc3339
from tests.faults.conftest import Server, prepared
from tests.faults.proxy import Proxy

THREADS, SLOW = 4, 12
DEADLINE = 2.0  # seconds; an ordinary request takes a few milliseconds
ORDINARY = json.dumps({"user_id": "u", "content": {"text": "Hello"}, "deadline_ms": 1000}).encode()


class SlowUpload(Thread):
    """An event, sent a byte at a time until told to come to an end."""

    def __init__(self, port: int, key: str, number: int, enough: Event) -> None:
        super().__init__()
        event = {"event_id": f"slow{number}", "type": "opened", "user_id": "u", "occurred_at": rfc3339(SystemClock().now())}
        self._body = json.dumps({**event, "text": "x" * 4000}).encode()
        head = f"POST /api/v1/personalization/events HTTP/1.1\r\nHost: t\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n"
        self._head = f"{head}Content-Length: {len(self._body)}\r\nConnection: close\r\n\r\n".encode()
        self._connection, self._enough = socket.create_connection(("127.0.0.1", port), timeout=30), enough
        self.sent, self.answer = 0, b""

    def run(self) -> None:
        self._connection.sendall(self._head)
        while not self._enough.wait(0.02) and self.sent < len(self._body):
            self._connection.sendall(self._body[self.sent : self.sent + 1])
            self.sent += 1
        self._connection.sendall(self._body[self.sent :])
        while chunk := self._connection.recv(65536):
            self.answer += chunk
        self._connection.close()


@contextmanager
def slow_uploads(port: int, key: str) -> Iterator[list[SlowUpload]]:
    """More of them than the server has threads, all begun; at the end each has its answer."""
    enough = Event()
    uploads = [SlowUpload(port, key, number, enough) for number in range(SLOW)]
    for upload in uploads:
        upload.start()
    while min(upload.sent for upload in uploads) < 5:
        time.sleep(0.02)
    try:
        yield uploads
    finally:
        enough.set()
        for upload in uploads:
            upload.join(30)


def ask(port: int, key: str) -> int:
    """The status of an ordinary request. Raises TimeoutError after its deadline."""
    connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request(
            "POST", "/api/v1/personalization/personalize", ORDINARY, {"X-API-Key": key, "Content-Type": "application/json"}
        )
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture
def server(serve: Callable[..., Server], sqlite_url: str, key: str) -> Server:
    prepared(sqlite_url, key).life.close()
    server = serve(sqlite_url, GUNICORN_CMD_ARGS=f"--threads {THREADS}")
    assert ask(server.port, key) == 200
    return server


def test_slow_bodies_behind_the_proxy_hold_up_nobody(server: Server, key: str, tmp_path: Path) -> None:
    proxy = Proxy(server.port, tmp_path)
    try:
        with slow_uploads(proxy.start().port, key) as uploads:
            assert [ask(proxy.port, key) for _ in range(40)] == [200] * 40
            assert all(upload.is_alive() and not upload.answer for upload in uploads)
        assert [upload.answer[:12] for upload in uploads] == [b"HTTP/1.1 202"] * SLOW
    finally:
        proxy.close()


def test_slow_bodies_without_the_proxy_hold_up_everybody(server: Server, key: str) -> None:
    """A fact to know, not a wish: should it fail one day, README may stop asking for the proxy."""
    with slow_uploads(server.port, key) as uploads:
        with pytest.raises(TimeoutError):
            ask(server.port, key)
        assert any(upload.is_alive() for upload in uploads)
    assert [upload.answer[:12] for upload in uploads] == [b"HTTP/1.1 202"] * SLOW
    assert ask(server.port, key) == 200


# -- what else the proxy does


class Busy(BaseHTTPRequestHandler):
    """Answers 503 at first, then what it was asked with."""

    protocol_version = "HTTP/1.1"
    asked: list[str]
    refusing: int

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        type(self).asked.append(f"{self.command} {self.path} {self.headers['X-Request-Id']}")
        status = 503 if len(type(self).asked) <= type(self).refusing else 200
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[type[Busy], HTTPConnection]]:
    kind = type("Upstream", (Busy,), {"asked": [], "refusing": 0})
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    Thread(target=upstream.serve_forever, args=(0.05,), daemon=True).start()
    proxy = Proxy(upstream.server_port, tmp_path).start()
    connection = HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    yield kind, connection
    connection.close()
    proxy.close()
    upstream.shutdown()
    upstream.server_close()


def exchange(
    connection: HTTPConnection, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    with suppress(BrokenPipeError, ConnectionResetError):  # a refusal may come before the body is through
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_the_proxy_repeats_only_what_is_safe(proxied: tuple[type[Busy], HTTPConnection]) -> None:
    upstream, connection = proxied
    upstream.refusing = 2
    path = "/api/v1/personalization/profiles/a%2Fb%2E%2E"
    assert exchange(connection, "GET", path, X_Request_Id="mine/1")[:1] == (200,)
    assert upstream.asked == [f"GET {path} mine/1"] * 3
    for method in ("POST", "PUT"):
        upstream.asked.clear()
        assert exchange(connection, method, path, b"{}")[0] == 503
        assert len(upstream.asked) == 1


def test_what_the_proxy_refuses_reads_like_an_answer_of_the_service(proxied: tuple[type[Busy], HTTPConnection]) -> None:
    upstream, connection = proxied
    status, headers, body = exchange(connection, "POST", "/x", b"x" * (16 * 1024 * 1024 + 1), X_Request_Id="mine")
    problem = json.loads(body)
    assert (status, headers["content-type"], headers["x-request-id"]) == (413, "application/problem+json", "mine")
    assert set(problem) == {"type", "title", "status", "detail", "request_id"}
    assert (problem["status"], problem["request_id"]) == (413, "mine")
    connection.close()
    assert exchange(connection, "GET", "/metrics")[0] == 404
    assert upstream.asked == []
    assert exchange(connection, "POST", "/x", b"x" * (16 * 1024 * 1024))[0] == 200
