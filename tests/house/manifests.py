"""What lies in deploy/, read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
Manifest = dict[str, Any]


def manifests(*folders: str) -> list[Manifest]:
    """Every document of the folders but their kustomizations."""
    found = [document for folder in folders for file in sorted((DEPLOY / folder).glob("*.yaml")) for document in documents(file)]
    return [document for document in found if document["kind"] != "Kustomization"]


def documents(file: Path) -> list[Manifest]:
    return deepcopy(_read(file))


@cache
def _read(file: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(file.read_text()))


def one(kind: str, name: str | None = None) -> Manifest:
    """The only one of its kind, or of that name."""
    found = [m for m in manifests("kubernetes", "istio") if m["kind"] == kind and name in (None, m["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of {kind} {name or ''}"
    return found[0]


def pod(manifest: Manifest) -> Manifest:
    spec: Manifest = manifest["spec"]["template"]["spec"]
    return spec


def container(manifest: Manifest) -> Manifest:
    (only,) = pod(manifest)["containers"]
    return dict(only)


def seconds(text: str) -> int:
    """Of a duration like "30s"."""
    found = re.fullmatch(r"(\d+)s", text)
    assert found, text
    return int(found[1])


class Dockerfile:
    """Instructions of the last stage by name, and of all stages in order."""

    def __init__(self) -> None:
        self.instructions = list(_instructions((ROOT / "Dockerfile").read_text()))

    def last(self, name: str) -> str:
        return [text for instruction, text in self.instructions if instruction == name][-1]

    def all(self, name: str) -> list[str]:
        return [text for instruction, text in self.instructions if instruction == name]

    def environment(self) -> dict[str, str]:
        return {key: value for text in self.all("ENV") for key, value in re.findall(r'(\w+)="?([^"\s]+)"?', text)}


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in re.sub(r"\\\n\s*", " ", lines).splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield name, rest.strip()


def example_environment() -> dict[str, str]:
    lines = (DEPLOY / "example.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def compose() -> Manifest:
    """compose.yaml with the example's values in their places."""
    values = example_environment()
    text = re.sub(r"\$\{(\w+)[^}]*\}", lambda found: values[found[1]], (DEPLOY / "compose.yaml").read_text())
    read: Manifest = yaml.safe_load(text)
    return read
