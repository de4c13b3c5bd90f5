from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest

from personalization.client import Client, Refused, Unreachable


class Scripted(BaseHTTPRequestHandler):
    """Answers as told, one after the other, and remembers what came."""

    protocol_version = "HTTP/1.1"
    answers: ClassVar[list[tuple[int, dict[str, str], Any]]] = []
    came: ClassVar[list[tuple[str, str, Any]]] = []

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.came.append((self.path, self.headers["X-API-Key"], json.loads(self.rfile.read(length) or b"null")))
        status, headers, body = self.answers.pop(0)
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Scripted.answers, Scripted.came = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_call_carries_the_key_and_gives_the_document(url: str) -> None:
    Scripted.answers.append((200, {}, {"variant_id": "a"}))
    client = Client(url, "k")
    assert client.personalize({"user_id": "u"}) == {"variant_id": "a"}
    assert Scripted.came == [("/api/v1/personalization/personalize", "k", {"user_id": "u"})]
    client.close()


def test_a_refusal_is_a_sentence(url: str) -> None:
    Scripted.answers.append((422, {}, {"title": "Invalid input", "detail": "value: expected a number"}))
    client = Client(url, "k")
    with pytest.raises(Refused, match="422 Invalid input: value: expected a number"):
        client.record([{}])
    client.close()


def test_a_busy_server_is_asked_again_after_the_pause_it_wants(url: str) -> None:
    pauses: list[float] = []
    Scripted.answers += [(429, {"Retry-After": "3"}, {}), (200, {}, {"results": [1]})]
    client = Client(url, "k", sleep=pauses.append)
    assert client.batch([]) == [1]
    assert pauses == [3.0]
    client.close()


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        Client("http://127.0.0.1:9", "k").activate("d")
