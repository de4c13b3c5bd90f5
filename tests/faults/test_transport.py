"""What never reaches the application: requests over a raw socket that no HTTP client would send, to a real gunicorn."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from tests.faults.conftest import Server, prepared, running

MIB = 1024 * 1024
HOST = b"Host: x\r\n"
LIVE = b"GET /api/v1/management/live HTTP/1.1\r\n"
POST = b"POST /api/v1/personalization/personalize HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
BODY = b'{"content": {"text": "x"}}'


def with_headers(*lines: bytes) -> bytes:
    return LIVE + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def posted(*lines: bytes, body: bytes = BODY) -> bytes:
    return POST + b"X-API-Key: KEY\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def chunked(body: bytes) -> bytes:
    return posted(b"Transfer-Encoding: chunked", body=body)


#: Whole messages, and the status each gets.
BROKEN: dict[str, tuple[bytes, int]] = {
    "no request line": (b"\x00\x01\x02\r\n\r\n", 400),
    "one word": (b"GET\r\n\r\n", 400),
    "a method of other characters": (b"G(T / HTTP/1.1\r\n\r\n", 400),
    "no such version": (b"GET / HTTP/9.9\r\n\r\n", 400),
    "a version that is none": (b"GET / FTP/1.1\r\n\r\n", 400),
    "a line too long": (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
    "a header without a colon": (with_headers(b"nonsense"), 400),
    "a header name with a space": (with_headers(b"X Y: 1"), 400),
    "a header name of other characters": (with_headers(b"X\xff: 1"), 400),
    "NUL in a header": (with_headers(b"X-Y: a\x00b"), 400),
    "a folded header": (with_headers(b"X-Y: a", b" b"), 400),
    "a header too long": (with_headers(b"X-Y: " + b"x" * 20_000), 431),
    "too many headers": (with_headers(*(b"X-%d: 1" % n for n in range(200))), 431),
    "an expectation nobody meets": (posted(b"Expect: miracles", b"Content-Length: 2"), 417),
    "Content-Length twice": (posted(b"Content-Length: 5", b"Content-Length: 26"), 400),
    "a negative Content-Length": (posted(b"Content-Length: -26"), 400),
    "a Content-Length with a sign": (posted(b"Content-Length: +26"), 400),
    "a Content-Length of letters": (posted(b"Content-Length: abc"), 400),
    "a Content-Length in two values": (posted(b"Content-Length: 26, 26"), 400),
    "both lengths": (posted(b"Content-Length: 26", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "another transfer coding": (posted(b"Transfer-Encoding: gzip"), 400),
    "chunked twice": (posted(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), 400),
    "a chunk size of letters": (chunked(b"zz\r\n{}\r\n0\r\n\r\n"), 400),
    "a negative chunk size": (chunked(b"-2\r\n{}\r\n0\r\n\r\n"), 400),
    "a chunk without an end": (chunked(b"2\r\n{}}}\r\n0\r\n\r\n"), 400),
    "more than the limit, declared": (posted(b"Content-Length: %d" % (MIB + 1)), 413),
    "more than the limit, in chunks": (chunked((b"10000\r\n" + b" " * 65536 + b"\r\n") * 17 + b"0\r\n\r\n"), 413),
    "compressed": (posted(b"Content-Encoding: gzip", b"Content-Length: 26"), 415),
    "no length at all": (posted(), 400),
    "a method nobody knows": (b"BREW /api/v1/management/live HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    "no such path": (b"GET /nonsense HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "a path of bytes": (b"GET /api/v1/personalization/profiles/\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "an HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
}


@pytest.fixture(scope="module")
def server_and_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    folder = tmp_path_factory.mktemp("transport")
    key = "dpk_0123456789abcdef_" + "s" * 43
    url = f"sqlite:///{folder}/p.db"
    prepared(url, key).life.close()
    with running(folder) as serve:
        yield serve(url), key


def exchanged(server: Server, message: bytes, key: str) -> tuple[int, dict[str, str], bytes] | None:
    """Status, headers and body of the first answer; None when the server closed without one."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        try:
            connection.sendall(message.replace(b"KEY", key.encode()))
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # answered before all was sent
        return _parsed(_received(connection))


def _received(connection: socket.socket) -> bytes:
    data = b""
    try:
        while more := connection.recv(65536):
            data += more
    except ConnectionResetError:
        pass  # closed with bytes of ours unread
    return data


def _parsed(data: bytes) -> tuple[int, dict[str, str], bytes] | None:
    head, _, rest = data.partition(b"\r\n\r\n")
    if not head:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, rest[: int(headers.get("content-length", len(rest)))]


def complaint(answer: tuple[int, dict[str, str], bytes], key: str) -> str | None:
    status, headers, body = answer
    if status < 400:
        return None
    if status >= 500 or headers.get("content-type") != "application/problem+json":
        return f"{status} in {headers.get('content-type')}"
    problem = json.loads(body) if body else {"status": status, "request_id": headers["x-request-id"]}
    if problem["status"] != status or problem["request_id"] != headers["x-request-id"]:
        return f"no problem of its own: {problem}"
    return "it shows inner things" if any(word in body for word in (b"Traceback", b".py", b"gunicorn", key.encode())) else None


@pytest.mark.parametrize("what", BROKEN)
def test_a_message_that_is_no_http_gets_a_problem(server_and_key: tuple[Server, str], what: str) -> None:
    message, status = BROKEN[what]
    answer = exchanged(server_and_key[0], message, server_and_key[1])
    assert answer is not None
    assert complaint(answer, server_and_key[1]) is None
    assert answer[0] == status


def test_a_good_message_over_the_same_socket_is_answered(server_and_key: tuple[Server, str]) -> None:
    server, key = server_and_key
    answer = exchanged(server, posted(b"Content-Length: %d" % len(BODY), b"Connection: close"), key)
    assert answer is not None
    assert answer[0] == 200


def damaged(seed: int, count: int) -> Iterator[bytes]:
    chance = Random(seed)
    good = [posted(b"Content-Length: 26"), chunked(b"1a\r\n" + BODY + b"\r\n0\r\n\r\n"), with_headers(b"X-Y: 1")]
    broken = [message for message, _ in BROKEN.values() if len(message) < MIB]
    for _ in range(count):
        data = bytearray(chance.choice(good if chance.random() < 0.7 else broken))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data))
            if chance.random() < 0.4:
                del data[at : at + chance.randint(1, 8)]
            else:
                data[at:at] = bytes(chance.choices(b"\r\n\x00\xff :,;-0a%", k=chance.randint(1, 4)))
            data = data or bytearray(b"\r\n\r\n")
        yield bytes(data)


@pytest.mark.parametrize("count", [500, pytest.param(5_000, marks=pytest.mark.long)])
def test_damaged_messages_get_problems_or_are_hung_up_on(server_and_key: tuple[Server, str], count: int) -> None:
    server, key = server_and_key
    statuses: Counter[int] = Counter()
    for message in damaged(20261123, count):
        answer = exchanged(server, message, key)
        if answer is not None:
            assert complaint(answer, key) is None, message
            statuses[answer[0]] += 1
    assert sum(statuses.values()) > count / 2
    assert {400, 404} <= statuses.keys()
    still = exchanged(server, with_headers(b"Connection: close"), key)
    assert still is not None
    assert still[0] == 200
