"""Texts of both directions in one line: what a value must wear to stand among words that run the other way.

Unicode's bidirectional algorithm (UAX #9) orders a line by the characters next to each other, so an inserted name or telephone
number of the other direction drags its neighbours along. Isolates (U+2068 … U+2069) keep it to itself. They count as characters,
so only values that need them get them; addresses never do, since readers of mail would take the isolate into the link.
"""

from __future__ import annotations

import re

FIRST_STRONG_ISOLATE, POP_ISOLATE = "\u2068", "\u2069"

_RIGHT = "\u0590-\u08ff\u200f\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"
_RUNS_RIGHT_TO_LEFT = re.compile(f"[{_RIGHT}]")
#: A letter of a left-to-right script, or figures that UAX #9 would set apart: +49 30, 2026-11-23.
_RUNS_LEFT_TO_RIGHT = re.compile(rf"(?![{_RIGHT}])[^\W\d_]|\+\d|\d[ -]+\d")
#: Overrides, embeddings, isolates, and characters nobody sees. The joiners U+200C and U+200D are letters' business and stay.
_HIDDEN = "\u202a-\u202e\u2066-\u2069\u200b\u2060-\u2064\ufeff\ufff9-\ufffb"
_UNSEEN = re.compile(f"[{_HIDDEN}]")
_SUSPECT = re.compile(f"[{_RIGHT}{_HIDDEN}]")
#: What a template puts before or after a value, such as a comma, belongs to the text around.
_BEFORE, _AFTER = " \t\r\n\xa0,;:،؛.-–—", " \t\r\n\xa0,;:،؛"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,15}:|www\.")
_TAG = re.compile("<[^<>]*>")
_FIRST_TAG = re.compile(r"(?P<before>\s*(?:<!doctype[^>]*>\s*)?)<(?P<name>[a-z]\w*)(?P<attributes>[^>]*)>", re.IGNORECASE)
_DIR = re.compile(r"\bdir\s*=", re.IGNORECASE)


def inserted(text: str, rtl: bool) -> str:
    """A value's text without unseen characters, isolated where it runs against a text that is (or is not) `rtl`.

    >>> inserted("Ada", False), inserted("Ada", True), inserted("\\u202eAda", False)
    ('Ada', '\\u2068Ada\\u2069', 'Ada')
    """
    if not rtl and (text.isascii() or _SUSPECT.search(text) is None):
        return text
    text = _UNSEEN.sub("", text)
    against = _RUNS_LEFT_TO_RIGHT if rtl else _RUNS_RIGHT_TO_LEFT
    if against.search(text) is None or _is_address(text):
        return text
    start = len(text) - len(text.lstrip(_BEFORE))
    end = len(text.rstrip(_AFTER))
    return f"{text[:start]}{FIRST_STRONG_ISOLATE}{text[start:end]}{POP_ISOLATE}{text[end:]}"


def _is_address(text: str) -> bool:
    words = text.split(None, 1)
    return len(words) == 1 and ("@" in words[0] or _SCHEME.match(words[0]) is not None)


def without_isolates_in_tags(html: str) -> str:
    """Attributes hold addresses and names for programs."""
    if FIRST_STRONG_ISOLATE not in html:
        return html
    return _TAG.sub(lambda tag: tag[0].replace(FIRST_STRONG_ISOLATE, "").replace(POP_ISOLATE, ""), html)


def directed(html: str) -> str:
    """Right-to-left html that says so: on <html> or <body> where it begins with one, else around it.

    >>> directed("<p>x</p>"), directed('<p dir="auto">x</p>'), directed("<html lang=ar><p>x")
    ('<div dir="rtl"><p>x</p></div>', '<p dir="auto">x</p>', '<html dir="rtl" lang=ar><p>x')
    """
    first = _FIRST_TAG.match(html)
    if first and _DIR.search(first["attributes"]):
        return html
    if first and first["name"].lower() in ("html", "body"):
        return f'{first["before"]}<{first["name"]} dir="rtl"{first["attributes"]}>{html[first.end() :]}'
    return f'<div dir="rtl">{html}</div>' if html.strip() else html
