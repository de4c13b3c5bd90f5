"""How many short messages a text is sent, and billed, as.

The alphabet is that of 3GPP TS 23.038 (once GSM 03.38), 6.2.1: one septet a character, two for those of the extension table; one
character outside of it turns the whole text into UCS-2, 6.2.3. A text longer than one message gives six octets of each to a header
that joins them (TS 23.040, 9.2.3.24.1). National shift tables (Turkish, Spanish, Portuguese, India's) are left out: few operators
take them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")
#: What editors write by themselves -> what says the same within the alphabet.
_PLAIN = str.maketrans({
    **dict.fromkeys("‘’‚‛′`´", "'"), **dict.fromkeys("“”„‟″«»", '"'), **dict.fromkeys("‐‑‒–—―−", "-"),
    **dict.fromkeys("\u00a0\u2002\u2003\u2009\u202f\t", " "), "…": "...", "•": "-", "\u00ad": "", "\u200b": "", "\ufeff": "",
})  # fmt: skip
#: A text with more characters of another alphabet is written in it.
_SHOWN = 5


@dataclass(frozen=True)
class Segmented:
    """size: septets in GSM-7, UTF-16 units in UCS-2; count: messages, 0 for an empty text; room: units in each of them."""

    alphabet: Literal["GSM-7", "UCS-2"]
    size: int
    count: int
    room: int


def segments(text: str) -> Segmented:
    """O(n).

    >>> segments("It's 20 €"), segments("It’s 20 €")
    (Segmented(alphabet='GSM-7', size=10, count=1, room=160), Segmented(alphabet='UCS-2', size=9, count=1, room=70))
    """
    if all(character in _BASIC or character in _EXTENDED for character in text):
        widths = [2 if character in _EXTENDED else 1 for character in text]
        return Segmented("GSM-7", *_packed(widths, alone=160, joined=153))
    return Segmented("UCS-2", *_packed([2 if character > "\uffff" else 1 for character in text], alone=70, joined=67))


def _packed(widths: Iterable[int], *, alone: int, joined: int) -> tuple[int, int, int]:
    """(size, count, room). A character of two units is never cut in half: the next message takes it."""
    size, count, used = 0, 1, 0
    for width in widths:
        size += width
        used += width
        if used > joined:
            count, used = count + 1, width
    return (size, min(size, 1), alone) if size <= alone else (size, count, joined)


def costly(text: str) -> str | None:
    """Why the text takes more than one message and what to write instead; None when one is enough. O(n)."""
    found, plain = segments(text), segments(text.translate(_PLAIN))
    if found.count <= 1:
        return None
    foreign = [character for character in dict.fromkeys(text) if character not in _BASIC and character not in _EXTENDED]
    if plain.count < found.count:
        replaced = [character for character in foreign if ord(character) in _PLAIN]
        instead = [str(_PLAIN[ord(character)]) for character in replaced]
        return f"takes {found.count} segments because of {_listed(replaced)}; with {_listed(instead)} it would take {plain.count}"
    because = f" because of {_listed(foreign)}" if 0 < len(foreign) <= _SHOWN else ""
    return f"takes {found.count} segments of {found.room} units{because}; it has {found.size}, shorten it"


def _listed(characters: Iterable[str]) -> str:
    shown = list(dict.fromkeys(characters))[:_SHOWN]
    return " ".join(c if c.isprintable() and c.strip() else f"U+{ord(c):04X}" if c else "nothing" for c in shown)
