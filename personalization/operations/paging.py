"""Pages: `limit` items and an opaque cursor to the next."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, TypeVar

from personalization.errors import Invalid

T = TypeVar("T")

_FOREIGN = "is none of ours; take next_cursor of the page before"


def cursor_of(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def key_of(cursor: str | None) -> str:
    """The key behind a cursor, "" for the first page. Raises Invalid."""
    if not cursor:
        return ""
    try:
        key = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError) as wrong:
        raise Invalid.field("cursor", _FOREIGN) from wrong
    if not key.isprintable():
        raise Invalid.field("cursor", _FOREIGN)
    return key


def number_of(cursor: str | None) -> int | None:
    """The number behind a cursor, None for the first page. Raises Invalid."""
    key = key_of(cursor)
    if not key:
        return None
    if not key.isascii() or not key.isdigit() or len(key) > 18:
        raise Invalid.field("cursor", _FOREIGN)
    return int(key)


def page(items: Sequence[Any], found: Sequence[T], limit: int, key: Any) -> dict[str, Any]:
    """items: documents of the first `limit` of `found`; `found` holds one more where there is a next page."""
    more = len(found) > limit
    return {"items": list(items[:limit]), "next_cursor": cursor_of(str(key(found[limit - 1]))) if more else None}
