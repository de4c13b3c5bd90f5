"""A small client of the REST API on one keep-alive connection. It imports nothing else of ours."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

Document = dict[str, Any]

#: How often a call that was refused for now (429, 503) is repeated after the wait the server asked for.
_PATIENCE = 20


class Refused(Exception):
    """The server said no. The sentence is the server's; `problem` is its whole document."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', 'no reason was given')}")
        self.status, self.problem = status, problem


class Unreachable(Exception):
    def __init__(self, url: str, reason: Exception) -> None:
        super().__init__(f"{url} does not answer ({reason}); is the server running, and is that its address?")


class Client:
    """Calls one server as the holder of one API key. Not thread-safe: one client a thread.

    url   : where the server's root is, such as http://127.0.0.1:8000
    sleep : called with seconds, when the server asks for a pause
    Every method raises Refused or Unreachable.
    """

    def __init__(self, url: str, api_key: str, timeout: float = 30.0, sleep: Callable[[float], None] = time.sleep) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._url, self._root, self._sleep = url, parts.path.rstrip("/").removesuffix("/api/v1") + "/api/v1", sleep
        self._connection = kind(parts.hostname or "", parts.port, timeout=timeout)
        self._headers = {"X-API-Key": api_key, "Content-Type": "application/json"}

    def close(self) -> None:
        self._connection.close()

    def personalize(self, request: Mapping[str, Any]) -> Document:
        return self._document("POST", "/personalization/personalize", request)

    def batch(self, requests: Sequence[Mapping[str, Any]]) -> list[Document]:
        """One {"status", "decision" | "problem"} a request, in order."""
        return list(self._document("POST", "/personalization/batch", {"requests": requests})["results"])

    def activate(self, decision_id: str) -> Document:
        return self._document("POST", f"/personalization/decisions/{quote(decision_id, safe='')}/activate")

    def discard(self, decision_id: str) -> Document:
        return self._document("POST", f"/personalization/decisions/{quote(decision_id, safe='')}/discard")

    def record(self, events: Sequence[Mapping[str, Any]]) -> Document:
        return self._document("POST", "/personalization/events", {"events": events})

    def put_profiles(self, profiles: Sequence[Mapping[str, Any]]) -> list[Document]:
        """One {"user_id", "status", "errors"?} a profile, in order."""
        return list(self._document("POST", "/personalization/profiles", {"profiles": profiles})["results"])

    def create_template(self, template: Mapping[str, Any]) -> Document:
        return self._document("POST", "/personalization/templates", template)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Any route by its path below /api/v1. The JSON of the answer, None when it has none."""
        for _ in range(_PATIENCE):
            status, wait, answer = self._exchange(method, path, body)
            if status not in (429, 503) or wait is None:
                break
            self._sleep(wait)
        if status >= 400:
            raise Refused(status, answer if isinstance(answer, dict) else {})
        return answer

    def _document(self, method: str, path: str, body: Any = None) -> Document:
        answer: Document = self.call(method, path, body)
        return answer

    def _exchange(self, method: str, path: str, body: Any) -> tuple[int, float | None, Any]:
        """Status, Retry-After in seconds, answer."""
        data = None if body is None else json.dumps(body).encode()
        try:
            self._connection.request(method, self._root + path, data, self._headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, HTTPException) as failure:
            self._connection.close()
            raise Unreachable(self._url, failure) from failure
        after = response.getheader("Retry-After")
        return response.status, float(after) if after and after.isdigit() else None, _parsed(content)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None
