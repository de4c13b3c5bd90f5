"""A model as bytes: arrays and JSON, never anything that runs when it is read.

The file is numpy's .npz (a zip of plain arrays, object arrays refused both ways) with one more member, the JSON of everything
else; where an array stood, the JSON says {"$array": name}. The sha256 of the bytes is kept beside them and checked first.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np

from personalization.errors import ArtifactRefused

#: The member that holds the JSON, as bytes.
_TREE = "tree"
_ARRAY = "$array"
_FORMAT = {"format": "personalization-model", "version": 1}


def written(packed: Mapping[str, Any], family: str) -> bytes:
    """Same content, same bytes. family: whose `pack` it is. Raises TypeError for what is neither array nor plain data."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    tree = json.dumps({**_FORMAT, "family": family, "model": _lifted(packed, arrays)}, sort_keys=True, allow_nan=False)
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays, **{_TREE: np.frombuffer(tree.encode(), np.uint8)})
    return file.getvalue()


def read(body: bytes, family: str, digest: str | None = None) -> dict[str, Any]:
    """What `written` was given. Raises ArtifactRefused for truncated, altered, foreign and pickled bytes."""
    if digest is not None and digest_of(body) != digest:
        raise ArtifactRefused("its sha256 is another one: the bytes were cut or altered")
    tree, arrays = _members(body)
    if not isinstance(tree, dict) or {name: tree.get(name) for name in _FORMAT} != _FORMAT:
        raise ArtifactRefused("it is of another format")
    if tree.get("family") != family:
        raise ArtifactRefused(f"it is a model of {tree.get('family')!r} and not of {family!r}")
    restored = _lowered(tree.get("model"), arrays)
    if not isinstance(restored, dict):
        raise ArtifactRefused("it holds no model")
    return restored


def _members(body: bytes) -> tuple[Any, dict[str, np.ndarray[Any, Any]]]:
    try:
        file = np.load(io.BytesIO(body), allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ArtifactRefused("it is not one of our files")
        with file:
            return json.loads(file[_TREE].tobytes()), {name: file[name] for name in file.files if name != _TREE}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as broken:
        raise ArtifactRefused(f"it cannot be read as arrays and JSON ({type(broken).__name__})") from broken


def digest_of(body: bytes) -> str:
    return sha256(body).hexdigest()


def _lifted(value: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    """The value as JSON knows it, its arrays put into `arrays`."""
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("arrays of objects cannot be kept; give numbers, or a list of texts")
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {_ARRAY: name}
    if isinstance(value, Mapping):
        return {str(key): _lifted(inner, arrays) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_lifted(inner, arrays) for inner in value]
    return value.item() if isinstance(value, np.generic) else value


def _lowered(value: Any, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, dict):
        if set(value) == {_ARRAY}:
            if value[_ARRAY] not in arrays:
                raise ArtifactRefused("an array is missing")
            return arrays[value[_ARRAY]]
        return {key: _lowered(inner, arrays) for key, inner in value.items()}
    return [_lowered(inner, arrays) for inner in value] if isinstance(value, list) else value
