"""An import that is killed, and the next try."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path

from personalization.security.cipher import EnvelopeCipher
from personalization.storage.sql.open import open_sql_storage
from tests.faults.conftest import KEYS, ROOT, prepared

ROWS = 12_000


def importing(environment: dict[str, str], file: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "personalization.cli", "import", "events", str(file), "--tenant", "acme"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rows_done(state: Path) -> int:
    kept = list(state.glob("imports/*.json"))
    return int(json.loads(kept[0].read_text())["done"]) if kept else 0


def test_a_killed_import_continues_and_has_every_row_once(sqlite_url: str, key: str, tmp_path: Path) -> None:
    prepared(sqlite_url, key).life.close()
    common = {"type": "opened", "user_id": "u", "occurred_at": "2021-01-01T00:00:00Z"}
    events = [{**common, "event_id": f"e{i}"} for i in range(ROWS)]
    events[::1000] = [{**event, "type": "sneezed"} for event in events[::1000]]
    file, state = tmp_path / "events.jsonl", tmp_path / "state"
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    environment = {
        "DATABASE_URL": sqlite_url,
        "STATE_DIR": str(state),
        "JWT_SECRET_KEY": "x" * 64,
        "ENCRYPTION_KEYS": f"k1:{b64encode(KEYS[0][1]).decode()}",
        "PATH": os.environ["PATH"],
    }
    killed, until = importing(environment, file), time.monotonic() + 30
    while rows_done(state) < 3_000:
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < until
        time.sleep(0.002)
    killed.kill()
    killed.communicate()
    out, err = importing(environment, file).communicate(timeout=60)
    assert err == ""
    assert int(re.findall(r"Continued after row ([\d,]+)", out)[0].replace(",", "")) >= 3_000
    accepted, known, rejected = (int(n.replace(",", "")) for n in re.findall(r"([\d,]+) (?:events|known|rejected)", out))
    assert (accepted + known, rejected) == (ROWS - 12, 12)
    storage = open_sql_storage(sqlite_url, EnvelopeCipher(KEYS))
    assert len(storage.log.read("acme", 0, 100_000)) == ROWS - 12
    storage.life.close()
    rejects = (tmp_path / "events.jsonl.rejects.jsonl").read_text().splitlines()
    assert [json.loads(reject)["line"] for reject in rejects] == list(range(1, ROWS, 1000))
