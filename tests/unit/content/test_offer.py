"""The demo's offer in every language: its letters, plurals, direction and words."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from importlib.resources import files

import pytest

from personalization.clock import instant, zone
from personalization.content.checking import findings
from personalization.content.languages import CODES, language
from personalization.content.templates import CompiledContent, compile_content
from personalization.tenant import DEFAULT_CHANNELS

OFFER = json.loads((files("personalization") / "lab" / "samples" / "offer.json").read_text("utf-8"))
BASELINE = OFFER["variants"][0]["content"]
TAGS = re.compile(r"<[^>]*>|https?://\S+")


def compiled(code: str) -> CompiledContent:
    return compile_content(BASELINE[code], f"variants.0.content.{code}")


def written(code: str, **values: object) -> dict[str, str]:
    return compiled(code).render(values, locale=code, zone=zone("UTC"), now=instant("2026-11-01T00:00:00Z"), currency="EUR")


@pytest.mark.parametrize("code", CODES)
def test_the_offer_has_no_finding_in_any_language(code: str) -> None:
    assert findings(compiled(code), code, compiled("en"), "en", DEFAULT_CHANNELS) == []


@pytest.mark.parametrize("code", CODES)
def test_the_offer_names_every_plural_its_language_has(code: str) -> None:
    content = compiled(code)
    for part in ("text", "html"):
        [offered] = content.plurals(part)
        assert offered >= {*language(code).plurals, "other"}


@pytest.mark.parametrize("code", CODES)
def test_the_number_of_things_stands_in_the_text_or_is_spelled_out(code: str) -> None:
    texts = {n: written(code, items=n)["text"] for n in (0, 1, 2, 3, 5, 11, 21, 100)}
    assert len(set(texts.values())) == len(texts)
    assert all(str(n) in text for n, text in texts.items() if n > 2)
    assert "#" not in "".join(texts.values())


@pytest.mark.parametrize("code", CODES)
def test_the_html_says_the_direction_and_a_foreign_name_is_isolated_only_where_it_runs_against_the_text(code: str) -> None:
    text = written(code, user={"first_name": "Ada"})
    rtl = language(code).direction == "rtl"
    assert ('dir="rtl"' in text["html"]) is rtl
    for part in ("subject", "text", "html"):
        assert ("\u2068Ada\u2069" in text[part]) is rtl
        assert text[part].count("\u2068") == (1 if rtl else 0)


def test_no_two_languages_share_a_text() -> None:
    shared: dict[str, list[str]] = defaultdict(list)
    for code in CODES:
        for part, source in BASELINE[code].items():
            shared[f"{part}: {source}"].append(code)
    assert {source: codes for source, codes in shared.items() if len(codes) > 1} == {}


def test_no_two_languages_share_a_sentence_of_words() -> None:
    shared: dict[str, set[str]] = defaultdict(set)
    for code in CODES:
        for line in TAGS.sub("\n", compiled(code).words("html")).splitlines():
            if len(line.split()) >= 4:
                shared[line.strip()].add(code)
    assert {line: codes for line, codes in shared.items() if len(codes) > 1} == {}
