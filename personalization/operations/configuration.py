"""A tenant's configuration as a document, and changes to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import msgspec

from personalization.clock import Clock, duration, length_of, zone
from personalization.content.locales import canonical_language
from personalization.errors import Conflict, Invalid
from personalization.operations.merging import merged
from personalization.operations.profiles import quiet_document, quiet_hours
from personalization.operations.rewarding import reward_document, reward_of
from personalization.storage.base import Storage
from personalization.tenant import Budget, ChannelSpec, FrequencyCap, Retraining, TenantConfig, Voice
from personalization.vocabulary import ConsentDefault, LearningMode, PolicyMethod, ServiceLevel

_TRIES = 10
_PLAIN = ("exploration", "holdout", "holdout_no_send", "min_quality_score", "currency")


class Configuration:
    """One tenant's configuration. Every change is a new immutable version."""

    def __init__(self, tenant_id: str, storage: Storage, clock: Clock) -> None:
        self._tenant_id, self._storage, self._clock = tenant_id, storage, clock

    def current(self) -> TenantConfig:
        return self._storage.tenants.config(self._tenant_id)

    def document(self) -> dict[str, Any]:
        return config_document(self.current())

    def patch(self, patch: Mapping[str, Any]) -> dict[str, Any]:
        """RFC 7396 over the document; a section removed goes back to its default. Raises Invalid."""
        for _ in range(_TRIES):
            known = self.current()
            wanted = config_of(merged(config_document(known), patch), known.version)
            try:
                return config_document(self._storage.tenants.save_config(self._tenant_id, wanted, self._clock.now()))
            except Conflict:
                continue
        raise Conflict("The configuration keeps changing; try again.")


def config_document(config: TenantConfig) -> dict[str, Any]:
    return {
        "version": config.version,
        "service_level": config.service_level,
        "learning_mode": config.learning_mode,
        "policy": config.policy,
        **{name: getattr(config, name) for name in _PLAIN},
        "default_language": config.default_language,
        "timezone": config.timezone,
        "consent_default": config.consent_default,
        "reward": reward_document(config.reward),
        "frequency_caps": [{**asdict(cap), "period": duration(cap.period)} for cap in config.frequency_caps],
        "budgets": [{**asdict(budget), "period": duration(budget.period)} for budget in config.budgets],
        "quiet_hours": None if config.quiet_hours is None else quiet_document(config.quiet_hours),
        "channels": {name: asdict(spec) for name, spec in config.channels.items()},
        "retraining": {**asdict(config.retraining), "every": duration(config.retraining.every)},
        "voice": msgspec.json.decode(msgspec.json.encode(config.voice)),
    }


def config_of(document: Mapping[str, Any], version: int = 0) -> TenantConfig:
    """The configuration a document describes; what it leaves out has its default. Raises Invalid."""
    default = TenantConfig()
    config = replace(
        default,
        version=version,
        service_level=ServiceLevel(document.get("service_level", default.service_level)),
        policy=PolicyMethod(document.get("policy", default.policy)),
        learning_mode=LearningMode(document.get("learning_mode", default.learning_mode)),
        consent_default=ConsentDefault(document.get("consent_default", default.consent_default)),
        **{name: document[name] for name in _PLAIN if name in document},
        default_language=_language("default_language", document.get("default_language", default.default_language)),
        timezone=_timezone(document.get("timezone", default.timezone)),
        reward=reward_of(document.get("reward") or {}),
        frequency_caps=tuple(
            FrequencyCap(**{**cap, "period": length_of(cap["period"])}) for cap in document.get("frequency_caps", ())
        ),
        budgets=tuple(Budget(**{**budget, "period": length_of(budget["period"])}) for budget in document.get("budgets", ())),
        quiet_hours=quiet_hours("quiet_hours", document.get("quiet_hours")),
        retraining=_retraining(document.get("retraining") or {}),
        voice=_voice(document.get("voice") or {}),
    )
    if "channels" in document:
        config = replace(config, channels={name: ChannelSpec(**spec) for name, spec in document["channels"].items()})
    if config.holdout + config.holdout_no_send > 1.0:
        raise Invalid.field("holdout", "holdout and holdout_no_send together must be at most 1")
    return config


def _retraining(document: Mapping[str, Any]) -> Retraining:
    every = {"every": length_of(document["every"])} if "every" in document else {}
    return Retraining(**{**document, **every})


def _voice(document: Mapping[str, Any]) -> Voice:
    try:
        voice = msgspec.convert(document, Voice)
    except msgspec.ValidationError as wrong:
        raise Invalid.field("voice", str(wrong)) from wrong
    footers = enumerate(voice.footers)
    return replace(voice, footers=tuple(replace(footer, language=_spoken(i, footer.language)) for i, footer in footers))


def _spoken(place: int, tag: str) -> str:
    return tag if tag == "*" else _language(f"voice.footers.{place}.language", tag)


def _language(path: str, tag: str) -> str:
    try:
        return canonical_language(tag)
    except ValueError as wrong:
        raise Invalid.field(path, str(wrong)) from wrong


def _timezone(name: str) -> str:
    try:
        return zone(name).key
    except ValueError as wrong:
        raise Invalid.field("timezone", str(wrong)) from wrong
