"""How good a variant's text would be for one person, in 0..1, before anything is drawn.

    score = personal x fitting x language

    personal : PERSONAL_FLOOR + (1 - PERSONAL_FLOOR) x share of the written variables that have real values
    fitting  : 1 within the channel's limit, else (limit / length)^2; of the channels offered the best one counts
    language : locales.language_match

A product, so that one broken gate cannot be bought back by the others: a text three times too long scores at most 0.11
however personal it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from personalization.content.locales import language_match
from personalization.content.templates import CompiledContent
from personalization.tenant import ChannelSpec

#: A text made wholly of defaults reads well but speaks to nobody: above 0.5, so that it still beats the same text in a
#: language the person did not ask for, and below 1, so that knowing the person always counts.
PERSONAL_FLOOR = 0.6

#: Where nobody reads markup.
PLAIN_CHANNELS = frozenset({"sms", "push", "web_push", "voice"})

_HEADINGS = frozenset({"subject", "title"})
_MARKUP = "html"
_ANY_CHANNEL = ""
#: Channel -> the part shown above the text, which counts towards the length.
_HEADING_OF = {"push": "title", "web_push": "title", "in_app": "title", "email": "subject"}
#: Parts that hold a whole message; with none of them, whatever parts there are make up one.
BODIES = ("text", "body", _MARKUP)


@dataclass(frozen=True)
class Quality:
    """score: 0..1; reasons: sentences, empty when nothing is to be improved."""

    score: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class StaticQuality:
    """What does not depend on the person: fitting x language, and its reasons. Compute once, keep with the content."""

    base: float
    reasons: tuple[str, ...] = ()

    def score(self, content: CompiledContent, values: Mapping[str, Any]) -> float:
        """The score for one person; `values` as for `render`. A microsecond or two."""
        return self.base * (PERSONAL_FLOOR + (1.0 - PERSONAL_FLOOR) * content.coverage(values))


def static_quality(content: CompiledContent, got: str, wanted: str, channels: Iterable[ChannelSpec]) -> StaticQuality:
    """`got`: the locale of this content; `wanted`: the person's language; `channels`: those offered."""
    length = length_on(content, _ANY_CHANNEL)
    fitting = 0.0 if length is None else max((_fitting(length, spec) for spec in channels), default=1.0)
    language = language_match(wanted, got)
    reasons = []
    if fitting < 1.0:
        reasons.append("it is longer than any channel offered allows")
    if language < 1.0:
        reasons.append(f"it is written in {got}, wanted was {wanted}")
    return StaticQuality(fitting * language, tuple(reasons))


def quality(static: StaticQuality, content: CompiledContent, values: Mapping[str, Any]) -> Quality:
    """The score for one person and what would raise it."""
    defaulted = 1.0 - content.coverage(values)
    reasons = (f"{defaulted:.0%} of its variables fall back to defaults",) if defaulted else ()
    return Quality(static.score(content, values), (*static.reasons, *reasons))


def fits(content: CompiledContent, channel: str, spec: ChannelSpec) -> bool:
    """Whether the content has a part for the channel whose estimated length keeps the channel's hard limit."""
    length = length_on(content, channel)
    return length is not None and _fitting(length, spec) == 1.0


def length_on(content: CompiledContent, channel: str) -> int | None:
    """Estimated characters of the shortest form the content can take on the channel; None when it has none.

    A text, body or html can go anywhere, but html alone not where nobody reads markup.
    """
    bodies = [part for part in BODIES if part in content.parts]
    if not bodies:
        return sum(map(content.length, content.parts)) if content.parts else None
    if channel in PLAIN_CHANNELS:
        bodies = [part for part in bodies if part != _MARKUP]
    if not bodies:
        return None
    return _heading(content, channel, bodies) + min(map(content.length, bodies))


def _heading(content: CompiledContent, channel: str, bodies: list[str]) -> int:
    """A push of title and body shows both; where there is a text it can go out without a title."""
    heading = _HEADING_OF.get(channel, "")
    return content.length(heading) if channel == "email" or "text" not in bodies else 0


def _fitting(length: int, spec: ChannelSpec) -> float:
    if spec.max_length is None or length <= spec.max_length:
        return 1.0
    return (spec.max_length / length) ** 2
