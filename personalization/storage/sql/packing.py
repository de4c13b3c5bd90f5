"""Dataclasses as MessagePack or JSON and back: integer keys stay integers and floats keep every bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from personalization.profile import (
    Consent,
    ContentPreferences,
    FrequencyPreferences,
    Patterns,
    PersonalizationProfile,
    TimingPreferences,
)
from personalization.template import Template
from personalization.tenant import TenantConfig


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The declared sections of a profile that nobody searches by."""

    content_preferences: ContentPreferences = field(default_factory=ContentPreferences)
    channel_preferences: Mapping[str, float] = field(default_factory=dict)
    timing_preferences: TimingPreferences = field(default_factory=TimingPreferences)
    frequency_preferences: FrequencyPreferences = field(default_factory=FrequencyPreferences)
    reachability: Mapping[str, bool] = field(default_factory=dict)


def declared_of(profile: PersonalizationProfile) -> Declared:
    return Declared(
        content_preferences=profile.content_preferences,
        channel_preferences=profile.channel_preferences,
        timing_preferences=profile.timing_preferences,
        frequency_preferences=profile.frequency_preferences,
        reachability=profile.reachability,
    )


def _plain(value: Any) -> Any:
    """Mappings of any make are written as what they hold."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be stored")


pack = msgspec.msgpack.Encoder(enc_hook=_plain).encode
unpack = msgspec.msgpack.Decoder().decode
unpack_declared = msgspec.msgpack.Decoder(Declared).decode
unpack_consent = msgspec.msgpack.Decoder(Consent).decode
unpack_patterns = msgspec.msgpack.Decoder(Patterns).decode

_write_json = msgspec.json.Encoder(enc_hook=_plain).encode
read_config = msgspec.json.Decoder(TenantConfig).decode
read_template = msgspec.json.Decoder(Template).decode
read_json = msgspec.json.Decoder().decode


def write_json(value: Any) -> str:
    return _write_json(value).decode()


_NOTHING = (None, "{}", None, None, pack(Declared()), pack(Consent()), pack(Patterns()), 0)


def empty_profile(tenant_id: str, user_ref: bytes, version: int, at: int) -> tuple[Any, ...]:
    """The row of a profile nothing was said of, in the order of the table's columns."""
    return (tenant_id, user_ref, version, at, at, *_NOTHING)
