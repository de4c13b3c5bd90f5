from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from personalization.bootstrap import opened_storage, with_secrets
from personalization.cli import _gunicorn_options, main
from personalization.clock import SystemClock
from personalization.settings import Settings, settings_from

ROOT = Path(__file__).parents[2]
VARIABLES = ("DATABASE_URL", "REDIS_URL", "JWT_SECRET_KEY", "ENCRYPTION_KEYS", "PERSONALIZATION_DATA", "PORT")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("APP_ENV", "development")
    monkeypatch.setenv("STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(list(words))
    said = capsys.readouterr()
    return status, said.out, said.err


def test_a_key_is_made_with_its_tenant_on_an_empty_database(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "keys", "create", "--tenant", "acme", "--role", "service", "--json")
    made = json.loads(out)
    assert (status, out.count("\n")) == (0, 1)
    assert list(made) == ["key_id", "api_key", "tenant_id", "role"]
    assert (made["tenant_id"], made["role"]) == ("acme", "service")
    storage = opened_storage(with_secrets(settings_from()), SystemClock())
    assert storage.keys.get(made["key_id"]) is not None
    storage.life.close()


def test_a_key_is_revoked_once(capsys: pytest.CaptureFixture[str]) -> None:
    made = json.loads(run(capsys, "keys", "create", "--tenant", "acme", "--role", "admin", "--json")[1])
    assert run(capsys, "keys", "revoke", made["key_id"])[0] == 0
    status, out, err = run(capsys, "keys", "revoke", made["key_id"])
    assert (status, out) == (2, "")
    assert err.count("\n") == 1


def test_what_was_imported_rebuilds_identically(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    events = tmp_path / "e.csv"
    events.write_text("event_id,type,user_id,occurred_at\ne1,clicked,u1,2019-01-01T00:00:00Z\n")
    status, out, err = run(capsys, "import", "events", str(events), "--tenant", "acme")
    assert (status, err) == (0, "")
    assert out.startswith("1 events imported")
    status, out, _ = run(capsys, "rebuild", "--check", "--json")
    assert status == 0
    assert json.loads(out)["identical"] is True
    assert set(json.loads(out)) == {"seq", "live_hash", "rebuilt_hash", "identical"}


def imported(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    events = tmp_path / "e.jsonl"
    rows = [
        {"event_id": f"e{u}", "type": "clicked", "user_id": u, "occurred_at": "2026-01-01T00:00:00Z", "text": "hi"} for u in "ab"
    ]
    events.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(capsys, "import", "events", str(events), "--tenant", "acme")[0] == 0


def test_a_person_is_exported_to_a_file_or_the_output(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    imported(capsysbinary, tmp_path)  # type: ignore[arg-type]
    to_file = ("export-user", "--tenant", "acme", "--user", "a", "--out", str(tmp_path / "a.json"))
    assert main(list(to_file)) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert [event["text"] for event in found["events"]] == ["hi"]
    capsysbinary.readouterr()
    assert main(["export-user", "--tenant", "acme", "--user", "a"]) == 0
    assert json.loads(capsysbinary.readouterr().out)["events"] == found["events"]


def test_a_person_is_erased_without_a_server(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    imported(capsys, tmp_path)
    status, out, err = run(capsys, "erase-user", "--tenant", "acme", "--user", "a")
    assert (status, err) == (0, "")
    certificate = json.loads(out)["certificate"]
    assert (certificate["swept"]["events"], certificate["storage"]) == (1, "rewritten")
    assert json.loads(run(capsys, "rebuild", "--check", "--json")[1])["identical"] is True
    assert run(capsys, "export-user", "--tenant", "acme", "--user", "a")[0] == 2
    assert run(capsys, "export-user", "--tenant", "acme", "--user", "b")[0] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("rebuild",),
        ("erase-user", "--tenant", "nobody", "--user", "u"),
        ("rebuild", "--check", "--tenant", "nobody"),
        ("import", "events", "nothing.jsonl", "--tenant", "acme"),
        ("backtest", "hillstrom", "--data", "nowhere"),
        ("evaluate", "--data", "nowhere"),
        ("evaluate", "--model", "weather"),
        ("keys", "create", "--tenant", "a\nb", "--role", "admin"),
    ],
)
def test_an_error_is_one_sentence_without_a_traceback(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert "Traceback" not in err
    assert err.strip().count("\n") == 0


def test_production_is_not_served_with_weak_secrets(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    status, _, err = run(capsys, "serve")
    assert status == 2
    assert "JWT_SECRET_KEY" in err


def test_the_doctor_is_content_with_a_fresh_folder_and_not_with_weak_production(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(capsys, "doctor")[0] == 0
    monkeypatch.setenv("APP_ENV", "production")
    status, out, _ = run(capsys, "doctor")
    assert status == 1
    assert "problem  secrets" in out


def test_migrate_brings_the_schema_to_head(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "migrate")
    assert status == 0
    assert "head now" in out


def test_gunicorn_takes_the_working_directorys_file_or_what_it_would_say(tmp_path: Path) -> None:
    said = _gunicorn_options(Settings(database_url="sqlite:///x", port=8123))
    assert {"0.0.0.0:8123", "personalization.rest.transport.ProblemWorker", "64", "--no-control-socket"} <= set(said)
    assert said[said.index("--workers") + 1] == "1"
    (tmp_path / "gunicorn.conf.py").touch()
    assert _gunicorn_options(Settings()) == ["--config", "gunicorn.conf.py"]


# -- the demo


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_answers_the_line_it_prints_and_ends_cleanly(tmp_path: Path, busy_port: int, ending: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PORT": str(busy_port), "STATE_DIR": str(tmp_path / "state")}
    del environment["APP_ENV"]
    demo = subprocess.Popen(
        [sys.executable, "-m", "personalization.cli", "demo"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        begun, said = time.monotonic(), ""
        assert demo.stdout is not None
        while "\ncurl " not in said or not said.endswith("ends it.\n"):
            line = demo.stdout.readline()
            assert line, demo.communicate()[1]
            said += line
        assert time.monotonic() - begun < 10.0
        assert f"Port {busy_port} is busy" in said
        curl = next(line for line in said.splitlines() if line.startswith("curl "))
        answer = json.loads(subprocess.run(["sh", "-c", curl], check=True, capture_output=True, timeout=20).stdout)
        assert answer["action"] == "send"
        assert answer["personalized_content"]
        demo.send_signal(ending)
        out, err = demo.communicate(timeout=20)
    finally:
        demo.kill()
        demo.wait()
    assert demo.returncode == 0
    assert "Traceback" not in out + err
