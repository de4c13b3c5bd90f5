from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from personalization.clock import SystemClock
from personalization.errors import MisconfiguredError, OutboundFailed
from personalization.outbound import Outbound, expect_allowed
from tests.signing import private_key, private_pem

Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """serve(answer, pause, tls) -> the URL of a server that sends these bytes, one by one when there is a pause."""
    listening: list[socket.socket] = []

    def answer_one(server: socket.socket, answer: bytes, pause: float, tls: ssl.SSLContext | None) -> None:
        try:
            connection, _ = server.accept()
            with tls.wrap_socket(connection, server_side=True) if tls else connection as plain:
                plain.recv(65536)
                for start in range(0, len(answer), 1 if pause else len(answer) or 1):
                    plain.sendall(answer[start : start + 1] if pause else answer)
                    time.sleep(pause)
        except OSError:
            pass

    def served(answer: bytes, pause: float = 0.0, tls: ssl.SSLContext | None = None) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        listening.append(server)
        Thread(target=answer_one, args=(server, answer, pause, tls), daemon=True).start()
        return f"{'https' if tls else 'http'}://127.0.0.1:{server.getsockname()[1]}/keys?x=1"

    yield served
    for server in listening:
        server.close()


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode() + body


@pytest.fixture
def outbound() -> Outbound:
    return Outbound(SystemClock())


def test_a_document_comes(serve: Serve, outbound: Outbound) -> None:
    assert outbound.get(serve(answer(b'{"a": 1}', "200 OK", "Content-Length: 8"))) == b'{"a": 1}'
    assert outbound.get(serve(answer(b"x" * 100)), limit=100) == b"x" * 100


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (answer(b"", "302 Found", "Location: http://127.0.0.1/"), "302"),
        (answer(b"", "404 Not Found"), "404"),
        (answer(b"x" * 101), "more than 100 bytes"),
        (answer(b"x" * 101, "200 OK", "Content-Length: 101"), "more than 100 bytes"),
        (answer(b"x" * 10, "200 OK", "Content-Length: 50"), "to the end"),
        (answer(b"", "200 OK", *(f"X-{n}: y" for n in range(200))), "does not answer"),
        (b"nonsense\r\n\r\n", "does not answer"),
        (b"", "does not answer"),
    ],
)
def test_another_answer_is_refused(serve: Serve, outbound: Outbound, sent: bytes, why: str) -> None:
    with pytest.raises(OutboundFailed, match=why):
        outbound.get(serve(sent), limit=100)


@pytest.mark.parametrize("sent", [answer(b"x" * 90), answer(b"", "200 OK", f"X: {'y' * 90}")])
def test_a_server_that_drips_is_not_waited_for(serve: Serve, outbound: Outbound, sent: bytes) -> None:
    began = time.perf_counter()
    with pytest.raises(OutboundFailed, match=r"timed out|takes too long"):
        outbound.get(serve(sent, pause=0.02), seconds=0.3)
    assert time.perf_counter() - began < 1.0


def test_nobody_listening_is_said(outbound: Outbound) -> None:
    with pytest.raises(OutboundFailed, match="does not answer"):
        outbound.get("http://127.0.0.1:9/")


FOREIGN = [
    "http://idp.example/keys",
    "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/",
    "http://localhost.example/",
    "http://127.0.0.1.example/",
    "http://127.0.0.1@idp.example/",
    "https://user:password@idp.example/",
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "https:///keys",
    "https://idp.example:port/",
    "https://idp.example/a b",
    "https://idp.example/\r\nX: y",
    "keys",
    "",
]


@pytest.mark.parametrize("url", FOREIGN)
def test_only_https_or_this_machine_is_asked(outbound: Outbound, url: str) -> None:
    with pytest.raises(OutboundFailed):
        outbound.get(url)
    with pytest.raises(MisconfiguredError, match="JWT_JWKS_URL"):
        expect_allowed(url, "JWT_JWKS_URL")


@pytest.mark.parametrize("url", ["https://idp.example/keys", "http://localhost:80/", "http://127.8.8.8/", "http://[::1]:8080/k"])
def test_these_may_be_asked(url: str) -> None:
    expect_allowed(url, "JWT_JWKS_URL")


def test_a_certificate_that_nobody_vouches_for_is_refused(serve: Serve, outbound: Outbound, tmp_path: Path) -> None:
    with pytest.raises(OutboundFailed, match="certificate verify failed"):
        outbound.get(serve(answer(b"{}"), tls=self_signed(tmp_path)))


def self_signed(folder: Path) -> ssl.SSLContext:
    key, name, now = private_key("ec-tls"), x509.Name([]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("127.0.0.1")]), critical=True)
        .sign(key, SHA256())
    )
    from cryptography.hazmat.primitives.serialization import Encoding

    (folder / "c.pem").write_bytes(certificate.public_bytes(Encoding.PEM) + private_pem("ec-tls").encode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "c.pem")
    return context
