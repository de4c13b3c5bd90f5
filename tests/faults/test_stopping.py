"""SIGTERM under steady load: whoever was let in gets an answer."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from threading import Event, Thread

import pytest

from tests.faults.conftest import Server, prepared

CALLERS = 16
REQUEST = json.dumps({"user_id": "u", "content": {"text": "Hello"}})


class Caller(Thread):
    """Asks again and again; `seen` counts answers by status, "refused" (nothing was sent) and "lost" (sent, unanswered)."""

    def __init__(self, port: int, key: str, keep_alive: bool, stop: Event) -> None:
        super().__init__()
        self.seen: Counter[int | str] = Counter()
        self._port, self._keep_alive, self._stop_asking = port, keep_alive, stop
        self._headers = {"X-API-Key": key, "Content-Type": "application/json"}

    def run(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=20)
        while not self._stop_asking.is_set():
            if connection.sock is None:
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    self.seen["refused"] += 1
                    time.sleep(0.01)
                    continue
            self.seen[self._ask(connection)] += 1
        connection.close()

    def _ask(self, connection: HTTPConnection) -> int | str:
        try:
            connection.request("POST", "/api/v1/personalization/personalize", REQUEST, self._headers)
            answer = connection.getresponse()
            json.loads(answer.read())
        except (OSError, HTTPException, ValueError) as failure:
            connection.close()
            return f"lost: {failure!r}"
        if not self._keep_alive:
            connection.close()
        return answer.status


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept connections", "a connection each"])
def test_sigterm_under_steady_load_loses_no_request(
    keep_alive: bool, serve: Callable[..., Server], sqlite_url: str, key: str
) -> None:
    prepared(sqlite_url, key).life.close()
    server, stop = serve(sqlite_url), Event()
    callers = [Caller(server.port, key, keep_alive, stop) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    time.sleep(0.6)
    server.process.send_signal(signal.SIGTERM)
    ended = server.process.wait(40)
    time.sleep(0.1)
    stop.set()
    for caller in callers:
        caller.join(20)
    seen = sum((caller.seen for caller in callers), Counter())
    assert ended == 0
    assert seen[200] > 50
    assert seen["refused"] > 0
    assert {what: count for what, count in seen.items() if what not in (200, "refused")} == {}
