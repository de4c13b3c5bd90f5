"""Key pairs for tests of tokens, and what their publisher would say of them."""

from __future__ import annotations

import json
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm


@cache
def private_key(name: str) -> Any:
    """One pair of each name a session: "rsa", "ec" and others beginning so; "rsa1024", "p384" and "ed25519" are no good."""
    if name == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if name == "p384":
        return ec.generate_private_key(ec.SECP384R1())
    if name.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=1024 if name == "rsa1024" else 2048)
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(name: str) -> str:
    return private_key(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(name: str) -> str:
    return private_key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def jwk(name: str, **more: Any) -> dict[str, Any]:
    algorithm = RSAAlgorithm if name.startswith("rsa") else ECAlgorithm
    members: dict[str, Any] = algorithm.to_jwk(private_key(name).public_key(), as_dict=True)
    members.pop("key_ops", None)
    return {name: value for name, value in {**members, "use": "sig", **more}.items() if value is not ...}


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


class Provider:
    """An identity provider's key set over real HTTP."""

    def __init__(self) -> None:
        self.document, self.asked = key_set(jwk("rsa", kid="one")), 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                self.send_response(200)
                self.end_headers()
                self.wfile.write(provider.document)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/jwks"
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
