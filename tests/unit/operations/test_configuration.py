"""A configuration as a document and back."""

from __future__ import annotations

import pytest

from personalization.errors import Invalid
from personalization.operations.configuration import config_document, config_of
from personalization.tenant import Footer, TenantConfig, Tone, Voice

VOICE = Voice(
    personality="dry, never cute",
    tone=Tone(casual=0.5, warm=-0.25),
    banned_phrases=("for free",),
    max_emoji=0,
    max_grade=8.0,
    max_lix={"de": 50.0},
    footers=(Footer(text="Reply STOP to end", channel="sms", country="US", language="en-US"),),
)


def test_a_configuration_survives_its_document() -> None:
    for config in (TenantConfig(), TenantConfig(voice=VOICE)):
        assert config_of(config_document(config)) == config


def test_a_voice_of_another_shape_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        config_of({"voice": {"max_emoji": "none"}})
    assert [error.field for error in refused.value.errors] == ["voice"]


def test_a_footers_language_is_written_as_every_language_is() -> None:
    [footer] = config_of({"voice": {"footers": [{"text": "x", "language": "ZH_tw"}]}}).voice.footers
    assert footer.language == "zh-TW"
    with pytest.raises(Invalid) as refused:
        config_of({"voice": {"footers": [{"text": "x"}, {"text": "x", "language": "xx"}]}})
    assert [error.field for error in refused.value.errors] == ["voice.footers.1.language"]
