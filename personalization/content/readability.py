"""How hard a text is to read, by formulas that count sentences and words.

Both were fitted to passages of a hundred words and more; shorter ones are judged with much noise, and below MIN_WORDS not at all.
Texts in scripts without spaces between words have no figure.
"""

from __future__ import annotations

import re

#: Among fewer, one word more of seven letters moves LIX by more than 5.
MIN_WORDS = 20

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"[.!?…](?=\s)|\n")
_VOWELS = re.compile(r"[aeiouyáàâäæéèêëíîïóôöœúûü]+")
#: The e of made, whole, makes and moved; not that of able, tables, boxes and wanted.
_SILENT = re.compile(r"(?:(?:[^aeiouyl]|[aeiouy]l)e|(?:[^aeiouylscxzgh]|[aeiouy]l)es|[^aeiouytd]ed)\Z")
_LONG_WORD = 7


def grade(text: str) -> float | None:
    """US school grade of an English text; None when there are too few words.

    0.39 x words / sentences + 11.8 x syllables / words - 15.59 (Kincaid, Fishburne, Rogers and Chissom 1975, after Flesch 1948).
    Syllables are counted as groups of vowels less a silent e at the end: an estimate.
    """
    words, sentences = _counted(text)
    if len(words) < MIN_WORDS:
        return None
    return 0.39 * len(words) / sentences + 11.8 * sum(map(syllables, words)) / len(words) - 15.59


def lix(text: str) -> float | None:
    """Words a sentence plus the percentage of words of more than six letters (Björnsson 1968); None when there are too few words.

    20 is a children's book, 40 a newspaper, 60 a dissertation in Swedish; languages with longer words lie higher.
    """
    words, sentences = _counted(text)
    if len(words) < MIN_WORDS:
        return None
    return len(words) / sentences + 100.0 * sum(len(word) >= _LONG_WORD for word in words) / len(words)


def syllables(word: str) -> int:
    """
    >>> [syllables(word) for word in ("the", "made", "table", "moved", "wanted", "readability")]
    [1, 1, 2, 1, 2, 5]
    """
    spelled = word.lower()
    return max(1, len(_VOWELS.findall(spelled)) - (_SILENT.search(spelled) is not None))


def _counted(text: str) -> tuple[list[str], int]:
    """The words, and the number of sentences that have any: a line break ends one."""
    sentences = [found for found in map(_WORD.findall, _SENTENCE_END.split(text)) if found]
    return [word for sentence in sentences for word in sentence], len(sentences)
