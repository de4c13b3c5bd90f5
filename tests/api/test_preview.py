"""One template in all its locales, over REST and on the command line."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from personalization.cli import main
from personalization.content.languages import CODES
from personalization.lab.population import samples
from tests.api.documents import unnamed
from tests.api.raw import World
from tests.api.routes import PREFIX

ROUTE = "/personalization/templates/{}/preview"
GREETING = {
    "template_id": "greeting",
    "default_language": "en",
    "variants": [
        {
            "variant_id": "a",
            "content": {
                "en": {"subject": "We have something nice for you", "text": "Hi {{ user.first_name | default: 'you' }}"},
                "pl": {"subject": "We have something nice for you", "text": "{{ n | default: 2 | plural: one: 'a', other: 'b' }}"},
                "he": {"subject": "שלום", "text": "שלום {{ city }}", "html": "<p>שלום now</p>"},
            },
        },
        {"variant_id": "b", "content": {"en": {"text": "Hi"}, "de": {"text": "Hallo"}}},
    ],
}


def preview(world: World, template: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    headers = {"HTTP_X_API_KEY": world.key, "CONTENT_TYPE": "application/json"}
    made = world.ask("POST", f"{PREFIX}/personalization/templates", headers, json.dumps(template).encode())
    assert made.status in (201, 409), made.data
    path = ROUTE.format(template["template_id"])
    answered = world.ask("POST", PREFIX + path, headers, json.dumps(body).encode())
    assert answered.status == 200, answered.data
    document = world.ask("GET", f"{PREFIX}/openapi.json", headers).json
    assert not unnamed(document, "POST", path, 200, answered.json)
    found: dict[str, Any] = answered.json
    return found


def test_the_offer_is_shown_in_more_than_45_languages_without_a_finding(world: World) -> None:
    offer = next(sample for sample in samples() if sample["template_id"] == "offer")
    locales = preview(world, offer, {"all_locales": True, "variant_id": "a"})["locales"]
    assert {each["language"] for each in locales} == set(CODES)
    assert locales[0]["language"] == "en"
    assert {each["language"] for each in locales if each["direction"] == "rtl"} == {"ar", "fa", "he", "ur"}
    for each in locales:
        [variant] = each["variants"]
        assert (variant["language"], variant["falls_back_to"], variant["direction"]) == (each["language"], None, each["direction"])
        assert (variant["findings"], variant["missing_variables"], variant["failure"]) == ([], [], None)
        assert set(variant["content"]) == {"subject", "title", "text", "html"}


def test_missing_translations_are_marked_and_wrong_ones_are_found(world: World) -> None:
    shown = preview(world, GREETING, {"all_locales": True})
    assert shown["variants"] == shown["locales"][0]["variants"]
    of = {(each["language"], v["variant_id"]): v for each in shown["locales"] for v in each["variants"]}
    assert [each["language"] for each in shown["locales"]] == ["en", "de", "he", "pl"]
    assert of["de", "a"]["falls_back_to"] == of["pl", "b"]["falls_back_to"] == of["he", "b"]["falls_back_to"] == "en"
    assert of["de", "b"]["falls_back_to"] is None
    assert of["he", "b"]["direction"] == "ltr"
    assert of["he", "a"]["missing_variables"] == ["city"]
    assert [(f["kind"], f["part"]) for f in of["pl", "a"]["findings"]] == [("untranslated", "subject"), ("plural", "text")]
    assert [(f["kind"], f["part"]) for f in of["he", "a"]["findings"]] == [("script", "html")]
    assert of["en", "a"]["findings"] == of["de", "b"]["findings"] == []


def test_one_language_is_shown_alone_and_what_it_falls_back_to(world: World) -> None:
    shown = preview(world, GREETING, {"language": "he-IL", "context": {"city": "London"}})
    [only] = shown["locales"]
    assert (only["language"], only["direction"], only["variants"]) == ("he-IL", "rtl", shown["variants"])
    [a, b] = only["variants"]
    assert (a["language"], a["falls_back_to"], b["falls_back_to"]) == ("he", "he", "en")
    assert a["content"]["text"] == "שלום \u2068London\u2069"
    assert a["content"]["html"] == '<div dir="rtl"><p>שלום now</p></div>'


def test_a_text_for_any_language_is_shown_as_the_language_asked_for_has_it(world: World) -> None:
    anywhere = {
        "template_id": "anywhere",
        "variants": [{"variant_id": "a", "content": {"und": {"text": "We have something for you: {{ 1234.5 | number }}"}}}],
    }
    [german] = preview(world, anywhere, {"language": "de"})["variants"]
    assert (german["language"], german["falls_back_to"], german["content"]) == (
        "de",
        None,
        {"text": "We have something for you: 1.234,5"},
    )
    assert german["findings"] == []
    assert [each["language"] for each in preview(world, anywhere, {"all_locales": True})["locales"]] == ["en"]


VOICE = {
    "banned_phrases": ["for free"],
    "max_exclamations": 0,
    "footers": [{"text": "Reply STOP to end", "channel": "sms"}, {"text": "STOP an 0800", "channel": "sms", "country": "DE"}],
}


def test_what_breaks_with_the_voice_is_found_in_every_language(world: World) -> None:
    headers = {"HTTP_X_API_KEY": world.key, "CONTENT_TYPE": "application/json"}
    spoken = {
        "template_id": "spoken",
        "channels": ["sms", "push"],
        "variants": [
            {
                "variant_id": "a",
                "content": {
                    "en": {"text": "Get it for {{ price | default: 'fr\u200bee' }}! Reply STOP to end"},
                    "de-DE": {"text": "Jetzt holen. STOP an 0800"},
                    "de": {"text": "Bald holen für {{ name }}"},
                },
            }
        ],
    }
    changed = world.ask("PATCH", f"{PREFIX}/management/config", headers, json.dumps({"voice": VOICE}).encode())
    assert changed.status == 200, changed.data
    try:
        locales = preview(world, spoken, {"all_locales": True})["locales"]
        [german] = preview(world, spoken, {"language": "de-AT", "channel": "push"})["variants"]
    finally:
        restored = world.ask("PATCH", f"{PREFIX}/management/config", headers, b'{"voice": null}')
    assert {name: changed.json["voice"][name] for name in ("banned_phrases", "max_exclamations")} == {
        "banned_phrases": ["for free"],
        "max_exclamations": 0,
    }
    assert restored.json["voice"]["footers"] == []
    found = {each["language"]: [(f["kind"], f["part"], f["message"]) for f in each["variants"][0]["findings"]] for each in locales}
    assert found == {
        "en": [
            ("voice", "text", "says “for free”, which the voice bans: say it otherwise"),
            ("voice", "text", "exclamation marks: 1 where the voice allows 0, remove 1"),
        ],
        "de-DE": [],
        "de": [("voice", "text", "does not end as sms has to: end it with “Reply STOP to end”")],
    }
    assert german["findings"] == []


def test_an_sms_of_two_messages_says_which_character_costs_the_second(world: World) -> None:
    text = "It’s here: our new spring catalogue, with everything for the garden and the house."
    brief = {"template_id": "brief", "variants": [{"variant_id": "a", "content": {"en": {"text": text}}}]}
    [variant] = preview(world, brief, {"channel": "sms"})["variants"]
    assert variant["findings"] == [
        {"kind": "segments", "part": "text", "message": "takes 2 segments because of ’; with ' it would take 1"}
    ]
    assert preview(world, brief, {})["variants"][0]["findings"] == []


@pytest.mark.parametrize("body", [{"all_locales": "yes"}, {"all_locales": None}, {"every_locale": True}])
def test_a_preview_that_asks_wrongly_is_refused(world: World, body: dict[str, Any]) -> None:
    headers = {"HTTP_X_API_KEY": world.key, "CONTENT_TYPE": "application/json"}
    refused = world.ask("POST", PREFIX + ROUTE.format("greeting"), headers, json.dumps(body).encode())
    assert refused.status == 422


def test_a_plural_without_other_is_refused_when_it_is_saved(world: World) -> None:
    headers = {"HTTP_X_API_KEY": world.key, "CONTENT_TYPE": "application/json"}
    content = {"pl": {"text": "{{ n | plural: one: 'plik', few: 'pliki' }}"}}
    template = {"template_id": "wrong", "variants": [{"variant_id": "a", "content": content}]}
    refused = world.ask("POST", f"{PREFIX}/personalization/templates", headers, json.dumps(template).encode())
    assert refused.status == 422
    [error] = refused.json["errors"]
    assert error["field"] == "variants.0.content.pl.text"
    assert "'plural'" in error["message"]
    assert "'other'" in error["message"]


# -- the command -----------------------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """Collects (tag, attributes) and complains of nothing, as browsers do."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_command_shows_a_sample_in_all_its_languages(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    html, document = tmp_path / "offer.html", tmp_path / "offer.json"
    assert main(["preview", "offer", "--all-locales", "--html", str(html), "--json", str(document)]) == 0
    out = capsys.readouterr().out
    assert f"offer in {len(CODES)} locales" in out
    assert all(code in out for code in CODES)
    page = _Page(html.read_text("utf-8"))
    sections = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    assert sorted(map(str, sections)) == sorted(CODES)
    directions = {(attributes["lang"], attributes["dir"]) for _, attributes in page.tags if "dir" in attributes}
    assert len(directions) == len(CODES)
    assert {lang for lang, direction in directions if direction == "rtl"} == {"ar", "fa", "he", "ur"}
    assert not {tag for tag, _ in page.tags} & {"script", "img", "link"}
    assert not [attributes for tag, attributes in page.tags if tag == "iframe" and "sandbox" not in attributes]
    assert len(json.loads(document.read_text("utf-8"))["locales"]) == len(CODES)


def test_the_command_shows_one_language_and_says_what_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "welcome", "--language", "it"]) == 0
    out = capsys.readouterr().out
    assert "welcome in 1 locales" in out
    assert "a→en" in out
    assert main(["preview", "offer", "--language", "klingon!"]) == 2
    assert "is not a language tag" in capsys.readouterr().err
    assert main(["preview", "nothing"]) == 2
    assert capsys.readouterr().err == "There is no template of that id.\n"


def test_the_command_shows_a_tenants_own_template_and_ends_with_1_when_it_finds_something(
    capsys: pytest.CaptureFixture[str], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    preview(world, GREETING, {})
    for name, value in {
        "APP_ENV": "development",
        "DATABASE_URL": f"sqlite:///{world.folder}/p.db",
        "STATE_DIR": world.folder,
    }.items():
        monkeypatch.setenv(name, value)
    assert main(["preview", "greeting", "--all-locales", "--tenant", "acme"]) == 1
    assert "greeting in 4 locales" in capsys.readouterr().out


def test_a_decision_in_hebrew_is_written_from_the_right_with_the_name_kept_to_itself(world: World) -> None:
    headers = {"HTTP_X_API_KEY": world.key, "CONTENT_TYPE": "application/json"}
    text = "שלום {{ name }}, {{ n | plural: one: 'פריט אחד', two: 'שני פריטים', other: '# פריטים' }}"
    body = {"content": {"text": text, "html": f"<p>{text}</p>"}, "language": "he", "context": {"name": "Ada\u202e", "n": 2}}
    answered = world.ask("POST", f"{PREFIX}/personalization/personalize", headers, json.dumps(body).encode())
    assert answered.status == 200, answered.data
    written = answered.json["personalized_content"]
    assert written["text"] == "שלום \u2068Ada\u2069, שני פריטים"
    assert written["html"] == f'<div dir="rtl"><p>{written["text"]}</p></div>'
