"""A template as its readers would see it: in one language or in all it is written in, with what is missing and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import tzinfo
from typing import Any

from personalization.clock import zone
from personalization.content.checking import Finding, findings
from personalization.content.languages import language
from personalization.content.locales import babel_locale, choose_locale
from personalization.content.quality import quality, static_quality
from personalization.content.segments import costly
from personalization.content.templates import CompiledContent, compile_content
from personalization.content.voice import breaches
from personalization.engines.context import country
from personalization.errors import Invalid, MissingVariables, RenderingFailed
from personalization.profile import PersonalizationProfile
from personalization.template import ANY_LOCALE, Template, Variant
from personalization.tenant import TenantConfig

Document = dict[str, Any]


def preview(
    template: Template, config: TenantConfig, profile: PersonalizationProfile | None, wanted: Mapping[str, Any], now: int
) -> Document:
    """`wanted`: as POST …/preview takes it. Raises Invalid when it names no variant of the template."""
    person = {**profile.traits, **profile.attributes} if profile else {}
    variants = tuple(v for v in template.variants if wanted.get("variant_id") in (None, v.variant_id))
    if not variants:
        raise Invalid.field("variant_id", "names none of the template's variants")
    viewing = _Viewing(
        template=template,
        config=config,
        variants=variants,
        channels=(wanted["channel"],) if wanted.get("channel") else template.channels or tuple(config.channels),
        values={**(wanted.get("context") or {}), "user": person},
        country=country(profile),
        zone=zone((profile.timezone if profile else None) or config.timezone),
        now=now,
    )
    own = wanted.get("language") or (profile.language if profile else None) or template.default_language
    mine = viewing.locale(own)
    return {
        "template_id": template.template_id,
        "template_version": template.version,
        "variants": mine["variants"],
        "locales": [viewing.locale(tag) for tag in viewing.tags()] if wanted.get("all_locales") else [mine],
    }


@dataclass(frozen=True, kw_only=True)
class _Viewing:
    """One template, for one reader."""

    template: Template
    config: TenantConfig
    variants: tuple[Variant, ...]
    channels: tuple[str, ...]
    values: Mapping[str, Any]
    country: str | None
    zone: tzinfo
    now: int
    #: (variant, locale) -> what it compiled to: most locales fall back to a few.
    _compiled: dict[tuple[str, str], CompiledContent] = field(default_factory=dict)

    def tags(self) -> list[str]:
        """Every locale that a variant is written in, the default language first."""
        written = {tag for variant in self.variants for tag in variant.content if tag != ANY_LOCALE}
        return sorted(written | {self.template.default_language}, key=lambda tag: (tag != self.template.default_language, tag))

    def locale(self, tag: str) -> Document:
        known = language(tag)
        return {
            "language": tag,
            "name": known.endonym,
            "script": known.script,
            "direction": known.direction,
            "variants": [self._variant(variant, tag) for variant in self.variants],
        }

    def _variant(self, variant: Variant, tag: str) -> Document:
        chosen, compiled = self._content(variant, tag)
        got = tag if chosen == ANY_LOCALE else chosen
        channels = {name: self.config.channel(name) for name in self.channels}
        judged = quality(static_quality(compiled, chosen, tag, channels.values()), compiled, self.values)
        original_locale, original = self._content(variant, self.template.default_language)
        shown = self._rendered(compiled, got)
        texts = shown["content"] or {part: compiled.words(part) for part in compiled.parts}
        found = [*findings(compiled, got, original, original_locale, channels), *self._said(texts, got, tag)]
        return {
            "variant_id": variant.variant_id,
            "language": got,
            "direction": language(got).direction,
            "falls_back_to": None if got == tag else got,
            **shown,
            "findings": [asdict(finding) for finding in found],
            "quality_score": judged.score,
            "quality_reasons": list(judged.reasons),
        }

    def _said(self, texts: Mapping[str, str], got: str, tag: str) -> Iterator[Finding]:
        """What is wrong with the texts as their reader sees them; a reader of unknown country lives in the tag's region."""
        home = self.country or babel_locale(tag).territory or ""
        yield from breaches(self.config.voice, texts, language=got, channels=self.channels, country=home)
        for part in ("text", "body") if self.channels == ("sms",) else ():
            if part in texts and (said := costly(texts[part])):
                yield Finding("segments", part, said)

    def _content(self, variant: Variant, tag: str) -> tuple[str, CompiledContent]:
        """The locale that serves the tag, and its text."""
        got = choose_locale([tag], variant.content, self.template.default_language) or next(iter(variant.content))
        key = variant.variant_id, got
        if key not in self._compiled:
            self._compiled[key] = compile_content(variant.content[got], f"variants.{variant.variant_id}.content.{got}")
        return got, self._compiled[key]

    def _rendered(self, compiled: CompiledContent, locale: str) -> Document:
        missing: list[str] = []
        failure: str | None = None
        content: Mapping[str, str] | None = None
        try:
            content = compiled.render(self.values, locale=locale, zone=self.zone, now=self.now, currency=self.config.currency)
        except MissingVariables as absent:
            missing = list(absent.names)
        except RenderingFailed as failed:
            failure = failed.detail
        return {"content": content, "missing_variables": missing, "failure": failure}
