"""Models that come with the product, taught by public data; NOTICE beside them says whose. Read once a process, when first asked.

`python -m personalization.lab.words DATA` builds the same bytes again.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from personalization.models.artifact import digest_of, read, written

FOLDER = Path(__file__).parent


@cache
def shipped(name: str) -> Mapping[str, Any]:
    """What was packed under this name. Raises ArtifactRefused."""
    body = (FOLDER / f"{name}.npz").read_bytes()
    return read(body, name, (FOLDER / f"{name}.sha256").read_text().strip())


def kept(name: str, packed: Mapping[str, Any], folder: Path = FOLDER) -> int:
    """Write it; how many bytes it takes."""
    body = written(packed, name)
    (folder / f"{name}.npz").write_bytes(body)
    (folder / f"{name}.sha256").write_text(digest_of(body) + "\n")
    return len(body)
