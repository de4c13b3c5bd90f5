"""What texts say of how their writers feel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from personalization.content.locales import canonical_language
from personalization.errors import Invalid
from personalization.models.sentiment import sentiment_reader

Document = dict[str, Any]


def analyzed(texts: Sequence[str], language: str | None = None) -> Document:
    """One result a text, in its order. Raises Invalid for a language that CLDR does not know."""
    readings = sentiment_reader().read(texts, None if language is None else _code(language))
    return {
        "results": [
            {
                "language": reading.language,
                "sentiment": reading.sentiment,
                "label": reading.label,
                "emotions": dict(reading.emotions),
                "confidence": reading.confidence,
            }
            for reading in readings
        ]
    }


def _code(tag: str) -> str:
    """en of en-GB: readers are of languages, not of places."""
    try:
        return canonical_language(tag).partition("-")[0]
    except ValueError as unknown:
        raise Invalid.field("language", f"{unknown}; leave it out to have it told from each text") from unknown
