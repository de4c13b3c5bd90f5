"""The image: what the Dockerfile says, and its steps done here, where no engine builds it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

import pytest

from personalization.version import VERSION
from tests.house.manifests import ROOT, Dockerfile

DOCKERFILE = Dockerfile()


def tool(name: str) -> str:
    """Skips where it is not installed; under CI that is a failure."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None and not os.environ.get("CI"):
        pytest.skip(f"{name} is not installed: pip install -e '.[test]'")
    assert found, f"{name} is not installed"
    return found


def test_hadolint_finds_nothing() -> None:
    found = subprocess.run(
        [tool("hadolint"), "--no-color", "--failure-threshold", "style", "Dockerfile"], cwd=ROOT, capture_output=True
    )
    assert (found.returncode, found.stdout.decode()) == (0, "")


def test_every_stage_stands_on_the_same_pinned_slim_python() -> None:
    bases = {base.split()[0] for base in DOCKERFILE.all("FROM")}
    assert len(DOCKERFILE.all("FROM")) == 2
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases.pop())


def test_the_image_runs_as_a_numbered_user_and_names_its_version() -> None:
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", DOCKERFILE.last("USER"))
    assert f"VERSION={VERSION}" in DOCKERFILE.all("ARG")
    labels = set(re.findall(r"org\.opencontainers\.image\.([\w.]+)=", DOCKERFILE.last("LABEL")))
    assert labels >= {"title", "description", "version", "revision", "licenses", "base.name"}
    assert DOCKERFILE.all("FROM")[-1] in DOCKERFILE.last("LABEL")


def test_the_health_check_needs_nothing_but_python() -> None:
    assert json.loads(DOCKERFILE.last("HEALTHCHECK").partition("CMD")[2])[0] == "python"
    assert not re.search(r"curl|wget|apt-get", " ".join(text for _, text in DOCKERFILE.instructions))


def copied_from_the_tree() -> list[str]:
    return [name for text in DOCKERFILE.all("COPY") if "--from" not in text for name in text.split()[:-1]]


def test_what_is_copied_is_sent_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    sent = {line[1:] for line in lines if line.startswith("!")}
    assert sent == set(copied_from_the_tree())
    assert all((ROOT / name).exists() for name in sent)
    assert not any(fnmatch("var/secrets.json", pattern) or fnmatch(".env", pattern) for pattern in sent)


# -- the steps


def without_caches(_: str, names: list[str]) -> set[str]:
    return {name for name in names if name == "__pycache__"}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stage one and two: a wheel of just what is copied, laid open; the application's folder beside it."""
    folder = tmp_path_factory.mktemp("image")
    for text in DOCKERFILE.all("COPY"):
        if "--from" not in text:
            target = folder / ("app" if "app.py" in text else "src")
            target.mkdir(exist_ok=True)
            for name in text.split()[:-1]:
                source = ROOT / name
                if source.is_dir():
                    shutil.copytree(source, target / name, ignore=without_caches)
                else:
                    shutil.copy(source, target / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder / "wheels"), "."]
    subprocess.run(wheel, cwd=folder / "src", check=True)
    (built,) = (folder / "wheels").glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", str(folder / "site"), str(built)], check=True)
    return folder


def user_of_the_image() -> int | None:
    """Its number, where this process may become it and that user may run this Python; else None: as whoever runs the tests."""
    number = int(DOCKERFILE.last("USER").split(":")[0])
    try:
        subprocess.run([sys.executable, "-c", ""], user=number, check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return number


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_what_the_image_starts_gets_healthy_and_writes_only_where_it_may(image: Path, tmp_path: Path) -> None:
    user, state, home = user_of_the_image(), tmp_path / "state", tmp_path / "home"
    for folder in (state, home):
        folder.mkdir()
        if user is not None:
            os.chown(folder, user, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {
        **{name: value for name, value in DOCKERFILE.environment().items() if name.startswith("PYTHON")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(image / "site"),
        "HOME": str(home),
        "STATE_DIR": str(state),
        "PORT": port,
        "JWT_SECRET_KEY": "s" * 32,
        "ENCRYPTION_KEYS": "k1:" + "A" * 43 + "=",
    }
    where = [sys.executable, "-c", "import personalization; print(personalization.__file__)"]
    assert subprocess.run(where, cwd=image / "app", env=environment, capture_output=True, text=True).stdout.startswith(str(image))
    (image / "app").chmod(0o555)
    before = files_in(image)
    with (tmp_path / "log").open("wb") as log:
        command = json.loads(DOCKERFILE.last("CMD"))
        server = subprocess.Popen(command, cwd=image / "app", env=environment, stdout=log, stderr=log, user=user)
    try:
        check = json.loads(DOCKERFILE.last("HEALTHCHECK").partition("CMD")[2])
        until = time.monotonic() + 30
        while subprocess.run(check, env=environment, capture_output=True, check=False).returncode:
            assert server.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < until, (tmp_path / "log").read_text()
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()
    assert files_in(image) == before
    assert list(home.iterdir()) == []
