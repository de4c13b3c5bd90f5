"""The demo: one process with a tenant, templates, people who react, and a server that says where it is."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from types import FrameType
from typing import Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from personalization.api import PREFIX
from personalization.bootstrap import House, build_house, create_app
from personalization.errors import MisconfiguredError
from personalization.lab.population import Person, Simulation, population, settle
from personalization.security.identity import new_key
from personalization.settings import Settings
from personalization.storage.base import ApiKeyRecord
from personalization.vocabulary import Role

TENANT = "demo"
#: How many ports after the wanted one are tried.
_PORTS = 50


class _Handler(WSGIRequestHandler):
    """Quiet, and silent about what it is made of."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass

    def version_string(self) -> str:
        return "personalization"


def run(settings: Settings, host: str = "127.0.0.1") -> int:
    """Serve the demo until SIGTERM or SIGINT. Data of an earlier run in the same state folder are kept.

    Raises MisconfiguredError when another process has the database, or no port is free.
    """
    with _stopping() as stop, _bound(host, settings.port) as listener:
        house = build_house(settings)
        app = create_app(house=house)
        people = population()
        house.storage.tenants.create(TENANT, house.clock.now())
        service = house.service(TENANT)
        settle(service, house.clock, people)
        simulation = Simulation(service, house.clock, people)
        server = make_server(host, 0, app, threaded=True, request_handler=_Handler, fd=listener.fileno())
        answering = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="server", daemon=True)
        answering.start()
        _announce(house, server, settings.port, people[0], _fresh_key(house))
        simulation.start()
        while not stop.wait(1.0):
            pass
        simulation.close()
        server.shutdown()
        answering.join(5.0)
        house.close()
    print("The demo has ended; its data are kept.", flush=True)
    return 0


def _fresh_key(house: House) -> str:
    """A key for this run; only its hash is kept, so an earlier one cannot be shown again."""
    fresh = new_key()
    house.storage.keys.add(
        ApiKeyRecord(
            key_id=fresh.key_id,
            tenant_id=TENANT,
            role=Role.ADMIN,
            name="demo",
            digest=fresh.digest,
            created_at=house.clock.now(),
        )
    )
    return fresh.api_key


def _announce(house: House, server: BaseWSGIServer, wanted: int, person: Person, api_key: str) -> None:
    port = server.port
    name = server.host if server.host not in ("0.0.0.0", "::", "") else "127.0.0.1"
    root = f"http://{name}:{port}"
    if port != wanted:
        print(f"Port {wanted} is busy, so this is port {port}.")
    body = f'{{"user_id": "{person.user_id}", "template_id": "offer"}}'
    headers = f"-H 'X-API-Key: {api_key}' -H 'Content-Type: application/json'"
    print(
        f"""
Deep Personalization, demo (state in {house.settings.state_dir})

  Swagger UI   {root}{PREFIX}/docs
  API          {root}{PREFIX}
  Metrics      {root}/metrics
  Tenant       {TENANT}
  API key      {api_key}

Ask for a decision:

curl -sS -X POST {root}{PREFIX}/personalization/personalize {headers} -d '{body}'

Ctrl-C ends it.""",
        flush=True,
    )


@contextmanager
def _stopping() -> Iterator[Event]:
    """An event that SIGTERM and SIGINT set; the handlers from before come back afterwards."""
    stop = Event()

    def handler(_: int, __: FrameType | None) -> None:
        stop.set()

    before: list[tuple[signal.Signals, Any]] = [(s, signal.signal(s, handler)) for s in (signal.SIGTERM, signal.SIGINT)]
    try:
        yield stop
    finally:
        for signal_, old in before:
            signal.signal(signal_, old)


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket on the first free port from `port` on. Nobody is answered before the server accepts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, min(port + _PORTS, 65_536)):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(128)
        except PermissionError as refused:
            listener.close()
            raise MisconfiguredError(f"Port {candidate} may not be opened by this user; set PORT to one over 1023.") from refused
        except OSError:
            listener.close()
            continue
        with listener:
            yield listener
        return
    raise MisconfiguredError(f"None of the ports {port} to {port + _PORTS - 1} of {host} is free; set PORT to one that is.")
