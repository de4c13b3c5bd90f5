"""Requests as a server would hand them over, without a client that mends them, and what every refusal must be like."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import Flask

from personalization.bootstrap import House
from tests.api.fake_service import SECRET

PROBLEM_MEMBERS = {"type", "title", "status", "detail", "errors", "request_id"}
#: What no answer may show, whatever went wrong.
INNER_THINGS = ("Traceback", 'File "', ".py", "SELECT ", "INSERT ", "UPDATE ", "sqlite", "sqlalchemy", "psycopg2", SECRET)


class Endless:
    """A body of so many spaces that nobody has to keep."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:
        size = min(self.left, size if size >= 0 else self.left)
        self.left -= size
        return b" " * size


@dataclass(frozen=True)
class Answered:
    status: int
    headers: dict[str, str]
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)


@dataclass(frozen=True)
class World:
    """The product on a database of its own, with an admin's key; nothing replaced."""

    app: Flask
    house: House
    key: str
    folder: str

    def ask(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None, **environ: Any
    ) -> Answered:
        """`target` as it stands in the request line; headers of WSGI names such as HTTP_X_API_KEY; None leaves one out."""
        path, _, query = target.partition("?")
        given: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "RAW_URI": target,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SCRIPT_NAME": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_X_API_KEY": self.key,
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body or b""),
            "wsgi.errors": io.StringIO(),
            "wsgi.version": (1, 0),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if body is not None:
            given |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))}
        given |= {**(headers or {}), **environ}
        return self._called({name: value for name, value in given.items() if value is not None})

    def _called(self, environ: dict[str, Any]) -> Answered:
        started: list[Any] = []
        chunks = self.app.wsgi_app(environ, lambda status, headers, exc_info=None: started.extend((status, headers)))
        data = b"".join(chunks)
        if hasattr(chunks, "close"):
            chunks.close()
        return Answered(int(started[0].split()[0]), dict(started[1]), data)

    def stored(self) -> tuple[Any, ...]:
        """What any effect of a request would change."""
        storage = self.house.storage
        return storage.log.heads(), [key.key_id for key in storage.keys.list("acme", 200)], storage.templates.list("acme", 200)


def complaint(world: World, answer: Answered, method: str = "GET") -> str | None:
    """What is wrong with an answer, None when it is as it must be."""
    if answer.status >= 500:
        return f"a {answer.status}"
    if answer.status < 400:
        return None
    if answer.headers.get("Content-Type") != "application/problem+json":
        return f"{answer.status} in {answer.headers.get('Content-Type')}"
    if method != "HEAD":
        problem = answer.json
        if problem.keys() != PROBLEM_MEMBERS or problem["status"] != answer.status:
            return f"no problem document: {problem}"
        if problem["request_id"] != answer.headers["X-Request-Id"]:
            return "another request_id"
    told = answer.data.decode()
    return next((f"it tells {inner!r}" for inner in (*INNER_THINGS, world.key, world.folder) if inner in told), None)


def expect(world: World, answer: Answered, *statuses: int, method: str = "GET") -> None:
    assert answer.status in statuses, (answer.status, answer.data[:300])
    assert complaint(world, answer, method) is None
