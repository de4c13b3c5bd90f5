from __future__ import annotations

from typing import Any

import pytest

from personalization.clock import instant
from personalization.errors import Invalid
from personalization.messages import EngagementEvent, PersonalizationRequest
from personalization.rest import schemas
from personalization.rest.conversion import (
    event_of,
    profile_row,
    profile_sections,
    request_of,
    template_of,
)
from personalization.rest.schemas import read
from personalization.vocabulary import EventType, Priority

VARIANT = {"variant_id": "a", "content": {"subject": "Hi"}}
LOCALES = {"variant_id": "a", "content": {"en": {"subject": "Hi"}}}
EVENT = {"event_id": "e", "type": "clicked", "user_id": "u", "occurred_at": "2026-11-23T10:00:00Z"}

WRONG: list[tuple[type[Any], Any, str]] = [
    (schemas.Personalize, [], ""),
    (schemas.Personalize, {"user_id": "u"}, ""),
    (schemas.Personalize, {"template_id": "t", "content": {"subject": "Hi"}}, ""),
    (schemas.Personalize, {"template_id": "t", "nonsense": 1}, "nonsense"),
    (schemas.Personalize, {"template_id": 1}, "template_id"),
    (schemas.Personalize, {"template_id": ""}, "template_id"),
    (schemas.Personalize, {"template_id": "x" * 257}, "template_id"),
    (schemas.Personalize, {"template_id": "a\nb"}, "template_id"),
    (schemas.Personalize, {"template_id": "t", "user_id": "a\u2028b"}, "user_id"),
    (schemas.Personalize, {"template_id": "t", "category": "spam"}, "category"),
    (schemas.Personalize, {"template_id": "t", "priority": "HIGH"}, "priority"),
    (schemas.Personalize, {"template_id": "t", "strategies": ["magic"]}, "strategies.0"),
    (schemas.Personalize, {"template_id": "t", "channels": ["email", "E Mail"]}, "channels.1"),
    (schemas.Personalize, {"template_id": "t", "channels": ["email\n"]}, "channels.0"),
    (schemas.Personalize, {"template_id": "t", "channels": "email"}, "channels"),
    (schemas.Personalize, {"template_id": "t", "context": []}, "context"),
    (schemas.Personalize, {"template_id": "t", "min_quality_score": 1.5}, "min_quality_score"),
    (schemas.Personalize, {"template_id": "t", "min_quality_score": True}, "min_quality_score"),
    (schemas.Personalize, {"template_id": "t", "deadline_ms": 0}, "deadline_ms"),
    (schemas.Personalize, {"template_id": "t", "deadline_ms": "5"}, "deadline_ms"),
    (schemas.Personalize, {"template_id": "t", "render": "yes"}, "render"),
    (schemas.Personalize, {"template_id": "t", "language": "english please"}, "language"),
    (schemas.Personalize, {"template_id": "t", "send_window": {"earliest": "2026-11-23T10:00:00"}}, "send_window.earliest"),
    (schemas.Personalize, {"template_id": "t", "send_window": {"latest": "tomorrow"}}, "send_window.latest"),
    (schemas.Personalize, {"template_id": "t", "send_window": {"latest": "9999-12-31T23:59:59-14:00"}}, "send_window.latest"),
    (
        schemas.Personalize,
        {"template_id": "t", "send_window": {"earliest": "2026-11-23T10:00:00Z", "latest": "2026-11-23T11:00:00+01:00"}},
        "send_window.latest",
    ),
    (schemas.Personalize, {"content": {}}, "content"),
    (schemas.Personalize, {"content": {"subject": 1}}, "content"),
    (schemas.Personalize, {"variants": []}, "variants"),
    (schemas.Personalize, {"variants": [VARIANT, VARIANT]}, "variants"),
    (
        schemas.Personalize,
        {"variants": [{"variant_id": "a", "content": {"subject": "x", "en": {"subject": "x"}}}]},
        "variants.0.content",
    ),
    (schemas.Personalize, {"variants": [{"variant_id": "a"}]}, "variants.0.content"),
    (schemas.Event, EVENT | {"type": "sneezed"}, "type"),
    (schemas.Event, EVENT | {"type": "custom"}, "name"),
    (schemas.Event, EVENT | {"type": "rewarded"}, "value"),
    (schemas.Event, EVENT | {"value": "12"}, "value"),
    (schemas.Event, EVENT | {"currency": "euro"}, "currency"),
    (schemas.Event, {"type": "clicked"}, "event_id"),
    (schemas.Profile, {"traits": {"plan": {"deep": 1}}}, "traits"),
    (schemas.Profile, {"channel_preferences": {"email": 1.1}}, "channel_preferences"),
    (schemas.Profile, {"timezone": "Mars/Olympus"}, "timezone"),
    (schemas.Profile, {"timing_preferences": {"preferred_hours": [24]}}, "timing_preferences.preferred_hours.0"),
    (
        schemas.Profile,
        {"timing_preferences": {"quiet_hours": {"start": "24:00", "end": "07:00"}}},
        "timing_preferences.quiet_hours.start",
    ),
    (schemas.Profile, {"timing_preferences": {"quiet_hours": {"start": "22:00"}}}, "timing_preferences.quiet_hours.end"),
    (schemas.Profile, {"frequency_preferences": {"max_per_day": -1}}, "frequency_preferences.max_per_day"),
    (schemas.TemplateBody, {"variants": [VARIANT]}, "variants.0.content"),
    (schemas.TemplateBody, {"variants": [LOCALES], "baseline_variant_id": "b"}, "baseline_variant_id"),
    (schemas.NewTemplate, {"variants": [LOCALES]}, "template_id"),
    (schemas.ConfigPatch, {"exploration": 2}, "exploration"),
    (schemas.ConfigPatch, {"reward": {"wait_time": "24 hours"}}, "reward.wait_time"),
    (schemas.ConfigPatch, {"reward": {"wait_time": "PT"}}, "reward.wait_time"),
    (schemas.ConfigPatch, {"reward": {"weights": {"sneezed": 1}}}, "reward.weights"),
    (schemas.ConfigPatch, {"reward": {"weights": {"converted": {"per_euro": 1}}}}, "reward.weights.per_euro"),
    (schemas.ConfigPatch, {"reward": {"guardrails": {"clicked": 0.1}}}, "reward.guardrails"),
    (schemas.ConfigPatch, {"reward": {"guardrails": {"unsubscribed": 1.1}}}, "reward.guardrails"),
    (schemas.TemplateBody, {"variants": [LOCALES], "reward": {"wait_time": "P9Y"}}, "reward.wait_time"),
    (schemas.TemplateBody, {"variants": [LOCALES], "reward": {"weights": {"sneezed": 1}}}, "reward.weights"),
    (schemas.TemplateBody, {"variants": [LOCALES], "reward": {"cost_weight": -1}}, "reward.cost_weight"),
    (schemas.ConfigPatch, {"frequency_caps": [{"limit": 1, "period": "P1M"}]}, "frequency_caps.0.period"),
    (schemas.ConfigPatch, {"frequency_caps": [{"limit": 1, "period": "PT0S"}]}, "frequency_caps.0.period"),
    (schemas.ConfigPatch, {"budgets": [{"channel": "sms", "limit": 1, "period": "PT59M"}]}, "budgets.0.period"),
    (schemas.ConfigPatch, {"budgets": [{"channel": "sms", "limit": 1, "period": "P32D"}]}, "budgets.0.period"),
    (schemas.ConfigPatch, {"budgets": [{"channel": "*", "limit": 1, "period": "P1D"}]}, "budgets.0.channel"),
    (schemas.ConfigPatch, {"budgets": [{"channel": "sms", "limit": -1, "period": "P1D"}]}, "budgets.0.limit"),
    (schemas.ConfigPatch, {"voice": {"banned_phrases": ["?!"]}}, "voice.banned_phrases"),
    (schemas.ConfigPatch, {"voice": {"required_phrases": [""]}}, "voice.required_phrases.0"),
    (schemas.ConfigPatch, {"voice": {"max_emoji": "none"}}, "voice.max_emoji"),
    (schemas.ConfigPatch, {"voice": {"max_exclamations": -1}}, "voice.max_exclamations"),
    (schemas.ConfigPatch, {"voice": {"tone": {"warm": 2}}}, "voice.tone.warm"),
    (schemas.ConfigPatch, {"voice": {"footers": [{"channel": "sms"}]}}, "voice.footers.0.text"),
    (schemas.ConfigPatch, {"voice": {"footers": [{"text": "x", "country": "de"}]}}, "voice.footers.0.country"),
    (schemas.ConfigPatch, {"voice": {"max_lix": {"de-DE": 50}}}, "voice.max_lix"),
    (schemas.ConfigPatch, {"voice": {"mood": "good"}}, "voice.mood"),
    (schemas.NewApiKey, {"role": "root", "name": "x"}, "role"),
    (schemas.Revocation, {}, ""),
    (schemas.ConsentBody, {"marketing": "yes"}, "marketing"),
]


@pytest.mark.parametrize(
    ("kind", "document", "field"), WRONG, ids=[f"{k.__name__}-{f or 'whole'}-{i}" for i, (k, _, f) in enumerate(WRONG)]
)
def test_what_is_wrong_is_named(kind: type[Any], document: Any, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(kind, document)
    assert [e.field for e in refused.value.errors] == [field]
    assert refused.value.status == 422


def test_a_full_request_becomes_the_domain_value() -> None:
    request = request_of(
        "t1",
        {
            "user_id": "ä/ö u",
            "template_id": "t",
            "channels": ["push", "email", "push"],
            "priority": "urgent",
            "send_window": {"earliest": "2026-11-23T10:00:00+01:00", "latest": "2026-11-24T10:00:00Z"},
            "min_quality_score": 1,
        },
        "key",
    )
    assert request.channels == ("push", "email")
    assert request.priority is Priority.URGENT
    assert request.send_window is not None
    assert request.send_window.earliest == instant("2026-11-23T09:00:00Z")
    assert (request.tenant_id, request.user_id, request.idempotency_key) == ("t1", "ä/ö u", "key")


def test_flat_parts_of_a_variant_stand_for_any_locale() -> None:
    flat, by_locale = request_of("t1", {"variants": [VARIANT, LOCALES | {"variant_id": "b"}]}).variants or ()
    assert flat.content == {"und": {"subject": "Hi"}}
    assert by_locale.content == {"en": {"subject": "Hi"}}


def test_an_event_becomes_the_domain_value() -> None:
    event = event_of(EVENT | {"type": "custom", "name": "added_to_cart", "value": 3, "metadata": {"a": [1]}})
    assert (event.type, event.name, event.value, event.metadata) == ("custom", "added_to_cart", 3.0, {"a": [1]})
    assert event.occurred_at == instant(EVENT["occurred_at"])


def test_a_profile_that_was_read_may_be_put_again() -> None:
    document = {
        "user_id": "u",
        "tenant_id": "t1",
        "traits": {"plan": "pro", "tags": ["a", 1]},
        "language": None,
        "content_preferences": {"topics": [], "tone": None, "length": None},
        "consent": {"marketing": True},
        "behavioral_patterns": {},
        "predictive_scores": {},
        "metadata": {"version": 3},
    }
    assert profile_sections("u", document).keys() == {"traits", "content_preferences"}


def test_the_id_in_a_body_must_be_the_paths() -> None:
    with pytest.raises(Invalid):
        profile_sections("u", {"user_id": "v"})
    with pytest.raises(Invalid):
        template_of("t", {"template_id": "u", "variants": [LOCALES]})


def test_a_bad_row_keeps_its_user_id() -> None:
    user_id, refusal = profile_row({"user_id": "u", "language": 5})
    assert (user_id, isinstance(refusal, Invalid)) == ("u", True)
    assert profile_row("nonsense")[0] == ""


def test_what_the_edge_makes_is_what_the_constructor_makes() -> None:
    made = request_of("t1", {"template_id": "t"})
    assert made == PersonalizationRequest(tenant_id="t1", template_id="t")
    event = event_of(EVENT)
    assert event == EngagementEvent(**{**EVENT, "type": EventType.CLICKED, "occurred_at": instant(EVENT["occurred_at"])})
    with pytest.raises(AttributeError):
        made.user_id = "u"  # type: ignore[misc]


def test_a_form_that_does_not_match_is_said_in_words() -> None:
    for document, sentence in (
        ({"currency": "euro"}, "must be a currency like EUR"),
        ({"default_language": "!"}, "must be a language like en or en-GB"),
    ):
        with pytest.raises(Invalid) as refused:
            read(schemas.ConfigPatch, document)
        assert refused.value.errors[0].message == sentence
