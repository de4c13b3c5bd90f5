"""Whether a text speaks as the tenant does, with what to change where it does not.

    breaches(voice, parts, language=…, channels=…, country=…) -> findings of the kind "voice"

Texts are read as people see them: html without its markup. Phrases are compared word by word after Unicode's compatibility
normalisation and case folding (UAX #15, NFKC) and without characters nobody sees, so that full-width letters, soft hyphens and
zero-width spaces hide nothing; letters of another script that look alike do, which `checking` finds. All is linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from itertools import product

from personalization.content.checking import ADDRESSES, MARKUP, Finding
from personalization.content.locales import script_of
from personalization.content.quality import BODIES, PLAIN_CHANNELS
from personalization.content.readability import grade, lix
from personalization.content.templates import ESCAPED_PARTS
from personalization.tenant import Voice

#: Scripts with words of letters that LIX was fitted to or carried over to.
_LIX_SCRIPTS = frozenset({"Latn", "Cyrl", "Grek"})

#: Shown in a line, so that a word may run on through it.
_INLINE = re.compile(
    r"</?(?:a|abbr|b|bdi|bdo|big|code|del|em|font|i|ins|mark|q|s|small|span|strike|strong|sub|sup|u|wbr)\b[^<>]*>", re.IGNORECASE
)
_MARKUP, _ADDRESSES = re.compile(MARKUP, re.IGNORECASE), re.compile(ADDRESSES)
_WORD = re.compile(r"\w{2,}")
_EXCLAMATIONS = "!\u055c"

#: Letters that nobody sees, beside the format characters (Cf): fillers, joiners of graphemes, variation selectors.
_BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164") | {chr(c) for c in range(0xFE00, 0xFE10)}
#: Thai, Lao, Myanmar, Khmer, kana and Han are written without spaces: every character is compared as a word.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
)

#: Emoji by themselves (Unicode's emoji-data: Emoji_Presentation, and the pictographs), or made so by a variation selector; flags,
#: keycaps and whole families joined by U+200D count once.
_PICTURE = (
    "[\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2639\u263a\u2648-\u2653\u267f\u2693\u26a1\u26aa\u26ab\u26bd\u26be"
    "\u26c4\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705\u270a\u270b\u2728\u274c\u274e\u2753-\u2755\u2757\u2764\u2795-\u2797"
    "\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55\U0001f004\U0001f0cf\U0001f18e\U0001f191-\U0001f19a\U0001f201-\U0001f251\U0001f300-\U0001f6ff"
    "\U0001f7e0-\U0001f7f0\U0001f900-\U0001f9ff\U0001fa70-\U0001faff]\ufe0f?|[\u00a9\u00ae\u203c-\u3299]\ufe0f"
)
_DRESSED = f"(?:{_PICTURE})[\U0001f3fb-\U0001f3ff]?[\U000e0020-\U000e007f]{{0,32}}"
_EMOJI = re.compile(f"[\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]\ufe0f?\u20e3|{_DRESSED}(?:\u200d{_DRESSED})*")

#: Bounded: Python refuses to read longer numbers.
_ENTITY = re.compile(r"&#?\w{1,32};?")
#: U+034F, nobody sees it.
_JOINER = "\u034f"
_LONGEST_RUN = 30
_SHOWN_WORDS = 5


def breaches(
    voice: Voice, parts: Mapping[str, str], *, language: str, channels: Collection[str] = (), country: str = ""
) -> tuple[Finding, ...]:
    """Where the texts break with the voice. parts: name -> text, as rendered or as written; language: what it is written in;
    channels: those it may go out by; country: ISO 3166-1 of the reader, "" unless known. O(text x phrases)."""
    if voice == Voice():
        return ()
    shown = {part: _Shown(_unmarked(text) if part in ESCAPED_PARTS else text) for part, text in parts.items()}
    found = [Finding("voice", part, message) for part in shown for message in _within(voice, part, shown[part], language)]
    # Each body is all that some reader sees.
    bodies = {part: shown[part] for part in BODIES if part in shown} or dict([*shown.items()][-1:])
    return (*found, *_absent(voice, bodies), *_unended(voice, bodies, language, channels, country))


@dataclass(frozen=True)
class _Shown:
    """A part as people see it. words: " one two " of "One, two!", "" of "?!"; a text says a phrase when they hold the phrase's."""

    text: str

    @cached_property
    def visible(self) -> str:
        return _visible(self.text)

    @cached_property
    def words(self) -> str:
        spaced = _UNSPACED.sub(r" \1 ", _visible(self.visible.casefold()))
        words = "".join(letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in spaced).split()
        return f" {' '.join(words)} " if words else ""

    def says(self, phrase: str) -> bool:
        words = _Shown(phrase).words
        return bool(words) and words in self.words

    def ends(self, phrase: str) -> bool:
        return self.words.endswith(_Shown(phrase).words)


def _within(voice: Voice, part: str, shown: _Shown, language: str) -> Iterator[str]:
    for phrase in voice.banned_phrases:
        if shown.says(phrase):
            yield f"says “{phrase}”, which the voice bans: say it otherwise"
    yield from _excess("emoji", voice.max_emoji, len(_EMOJI.findall(shown.text)))
    yield from _excess("exclamation marks", voice.max_exclamations, sum(map(shown.visible.count, _EXCLAMATIONS)))
    yield from _shouted(voice, shown)
    if part in BODIES:
        yield from _hard(voice, shown, language)


def _excess(what: str, most: int | None, count: int) -> Iterator[str]:
    if most is not None and count > most:
        yield f"{what}: {count} where the voice allows {most}, remove {count - most}"


def _shouted(voice: Voice, shown: _Shown) -> Iterator[str]:
    if voice.capitals:
        return
    allowed = {_Shown(word).words for word in voice.acronyms}
    words = dict.fromkeys(_WORD.findall(_ADDRESSES.sub(" ", shown.visible)))
    loud = [word for word in words if word.isalpha() and word.isupper() and _Shown(word).words not in allowed]
    if loud:
        yield f"is in capitals: {', '.join(loud[:_SHOWN_WORDS])}; write it small or add it to acronyms"


def _hard(voice: Voice, shown: _Shown, language: str) -> Iterator[str]:
    spoken = language.partition("-")[0]
    most, formula, name = (voice.max_grade, grade, "grade") if spoken == "en" else (voice.max_lix.get(spoken), lix, "LIX")
    if most is None or script_of(language) not in _LIX_SCRIPTS:
        return
    score = formula(_ADDRESSES.sub(" ", shown.visible))
    if score is not None and score > most:
        yield f"reads at {name} {score:.1f}, the voice allows {most:g}: use shorter sentences and words"


def _absent(voice: Voice, bodies: Mapping[str, _Shown]) -> Iterator[Finding]:
    for phrase, (part, shown) in product(voice.required_phrases, bodies.items()):
        if not shown.says(phrase):
            yield Finding("voice", part, f"does not say “{phrase}”, which the voice requires: add it")


def _unended(
    voice: Voice, bodies: Mapping[str, _Shown], language: str, channels: Collection[str], country: str
) -> Iterator[Finding]:
    for channel, (part, shown) in product(channels, bodies.items()):
        footer = voice.footer(channel, country, language)
        unread = part in ESCAPED_PARTS and channel in PLAIN_CHANNELS
        if footer and not unread and not shown.ends(footer.text):
            yield Finding("voice", part, f"does not end as {channel} has to: end it with “{footer.text}”")


# -- reading ---------------------------------------------------------------------------------------------------------


def _unmarked(markup: str) -> str:
    return _ENTITY.sub(lambda entity: unescape(entity[0]), _MARKUP.sub("\n", _INLINE.sub("", markup)))


def _visible(text: str) -> str:
    """NFKC, less the characters nobody sees."""
    if text.isascii():
        return text
    normal = unicodedata.normalize("NFKC", _stream_safe(text))
    return "".join(letter for letter in normal if letter not in _BLANK_LETTERS and unicodedata.category(letter) != "Cf")


def _stream_safe(text: str) -> str:
    """With a joiner between every 30 marks of a run (UAX #15, section 13): to order the marks of a run takes quadratic time."""
    kept, run = [], 0
    for letter in text:
        run = run + 1 if unicodedata.combining(letter) else 0
        if run > _LONGEST_RUN:
            kept.append(_JOINER)
            run = 1
        kept.append(letter)
    return "".join(kept)
