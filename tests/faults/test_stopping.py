"""SIGTERM under steady load: whoever was let in gets an answer."""

from __future__ import annotations

import json
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.faults.conftest import Server, prepared
from tests.faults.proxy import Proxy

CALLERS = 16
#: The proxy's answer where it found no server to send anything to.
NOT_SENT = r"503 .*(remote connection failure|connection timeout|no healthy upstream)"
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
            document = json.loads(answer.read())
        except (OSError, HTTPException, ValueError) as failure:
            connection.close()
            return f"lost: {failure!r}"
        if not self._keep_alive:
            connection.close()
        return answer.status if answer.status == 200 else f"{answer.status} {document}"


def asking(port: int, key: str, keep_alive: bool, server: Server) -> Counter[int | str]:
    """What all callers saw around the server's end."""
    stop = Event()
    callers = [Caller(port, key, keep_alive, stop) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    time.sleep(0.6)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(40) == 0
    time.sleep(0.1)
    stop.set()
    for caller in callers:
        caller.join(20)
    return sum((caller.seen for caller in callers), Counter())


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept connections", "a connection each"])
def test_sigterm_under_steady_load_loses_no_request(
    keep_alive: bool, serve: Callable[..., Server], sqlite_url: str, key: str
) -> None:
    prepared(sqlite_url, key).life.close()
    server = serve(sqlite_url)
    seen = asking(server.port, key, keep_alive, server)
    assert seen[200] >= CALLERS
    assert seen["refused"] > 0
    assert set(seen) == {200, "refused"}


def test_sigterm_behind_the_proxy_loses_no_request(serve: Callable[..., Server], sqlite_url: str, key: str, tmp_path: Path) -> None:
    """The proxy answers for a server that is gone; it never lost one that had begun to answer."""
    prepared(sqlite_url, key).life.close()
    server = serve(sqlite_url)
    proxy = Proxy(server.port, tmp_path)
    try:
        seen = asking(proxy.start().port, key, True, server)
    finally:
        proxy.close()
    assert seen[200] >= CALLERS
    assert [what for what in seen if what != 200 and not re.match(NOT_SENT, str(what))] == []
