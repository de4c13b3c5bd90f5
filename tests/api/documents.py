"""What an answer has that its OpenAPI document does not name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any


def unnamed(document: Mapping[str, Any], method: str, path: str, status: int, answer: Any) -> set[str]:
    """Paths of undeclared members; `path` below the server's URL, with or without its ids filled in."""
    item = next(item for template, item in document["paths"].items() if _fits(template, path) and method.lower() in item)
    content = item[method.lower()]["responses"][str(status)].get("content", {})
    schemas = document["components"]["schemas"]
    return {found for media in content.values() for found in _unnamed(answer, media["schema"], schemas, "")}


def _fits(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)), path.partition("?")[0]) is not None


def _unnamed(answer: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any], path: str) -> Iterator[str]:
    choices = [schemas[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in schema.get("anyOf", [schema])]
    for choice in choices:
        if isinstance(answer, list):
            for item in answer:
                yield from _unnamed(item, choice.get("items", {}), schemas, f"{path}[]")
        elif isinstance(answer, dict) and "properties" in choice:
            for name, value in answer.items():
                inner = choice["properties"].get(name)
                yield from _unnamed(value, inner, schemas, f"{path}.{name}") if inner is not None else (f"{path}.{name}",)
