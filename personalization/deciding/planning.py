"""A message made ready for many decisions: variants compiled, locales chosen, lengths held against the channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from personalization.content.locales import choose_locale
from personalization.content.quality import StaticQuality, fits, static_quality
from personalization.content.reading import Segments
from personalization.content.templates import CompiledContent, compile_content, presence
from personalization.deciding.record import MILLE, Candidate
from personalization.learning.encoding import variant_acts
from personalization.recent import Recent
from personalization.template import ANY_LOCALE, Template, Variant
from personalization.tenant import TenantConfig


@dataclass(frozen=True)
class PlannedVariant:
    """One variant in the locale that serves the wanted language best. channels: those its text fits."""

    variant_id: str
    locale: str
    compiled: CompiledContent
    actions: tuple[int, ...]
    channels: tuple[str, ...]
    static: StaticQuality


@dataclass(frozen=True)
class Candidates:
    """The variants for one kind of person.

    fitting  : those with all their variables that fit an open channel
    baseline : where the baseline stands among them, 0 when it is not there
    lacking  : no variant has all its variables; missing: those that any lacks
    """

    fitting: tuple[Candidate, ...]
    baseline: int
    lacking: bool
    missing: frozenset[str]

    def only(self, variant_id: str) -> Candidates:
        """This variant alone, where it is among them."""
        fitting = tuple(candidate for candidate in self.fitting if candidate.variant_id == variant_id)
        return replace(self, fitting=fitting, baseline=0)

    def undeclared(self) -> Candidates:
        """The same without their declared features."""
        return replace(self, fitting=tuple(msgspec.structs.replace(one, actions=one.actions[:1]) for one in self.fitting))

    def good(self, threshold: float) -> tuple[Candidates, bool]:
        """Those of this quality, 0..1. When there is none the baseline alone, and True."""
        good = tuple(candidate for candidate in self.fitting if candidate.quality >= threshold * MILLE)
        if not good and self.fitting:
            return replace(self, fitting=(self.fitting[self.baseline],), baseline=0), True
        name = self.fitting[self.baseline].variant_id if self.fitting else ""
        return replace(self, fitting=good, baseline=_place(good, name)), False


@dataclass(frozen=True)
class Plan:
    """The same for every person of one language.

    model_id : whose experience the variants share
    original : the baseline as it was written, in the locale chosen for this language
    unfit    : channels that the text of some variant does not fit
    declares : whether any variant declares features
    """

    model_id: str
    template_id: str | None
    template_version: int | None
    language: str
    category: str
    channels: tuple[str, ...]
    baseline_variant_id: str
    original: Mapping[str, str]
    variants: tuple[PlannedVariant, ...]
    unfit: frozenset[str]
    declares: bool
    _variables: tuple[Segments, ...] = field(repr=False)
    _candidates: Recent[tuple[bytes, tuple[str, ...]], Candidates] = field(default_factory=lambda: Recent(_ALIKE), repr=False)

    def candidates(self, values: Mapping[str, Any], channels: tuple[str, ...]) -> Candidates:
        """The variants for a person of these values and these open channels. It depends only on which variables they have
        and which channels are open, so it is kept."""
        alike = (presence(values, self._variables), channels)
        found = self._candidates.get(alike)
        if found is None:
            found = self._found(values, channels)
            self._candidates.put(alike, found)
        return found

    def supposed(self, values: Mapping[str, Any], channels: tuple[str, ...], *, complete: bool, free: frozenset[str]) -> Candidates:
        """The same, did all variants have all their variables (complete), and had some channels no limits (free). Such are
        weighed and never sent."""
        return self._found(values, channels, complete, free)

    def _found(
        self,
        values: Mapping[str, Any],
        channels: tuple[str, ...],
        complete: bool = False,
        free: frozenset[str] = frozenset(),
    ) -> Candidates:
        bits = {name: 1 << i for i, name in enumerate(channels)}
        filled, missing = [], frozenset[str]()
        for v in self.variants:
            lacking = v.compiled.missing(values)
            missing |= lacking
            if complete or not lacking:
                quality = round(v.static.score(v.compiled, values) * MILLE)
                mask = sum(bits.get(name, 0) for name in free.union(v.channels))
                filled.append(Candidate(v.variant_id, v.locale, v.actions, quality, mask))
        fitting = tuple(candidate for candidate in filled if candidate.channels)
        return Candidates(fitting, _place(fitting, self.baseline_variant_id), not filled, missing)

    def variant(self, variant_id: str) -> PlannedVariant:
        return next(planned for planned in self.variants if planned.variant_id == variant_id)


def _place(candidates: Sequence[Candidate], variant_id: str) -> int:
    return next((i for i, candidate in enumerate(candidates) if candidate.variant_id == variant_id), 0)


#: Compiles one content; the caller keeps what it compiled.
Compiler = Callable[[Mapping[str, str], str], CompiledContent]

ADHOC_MODEL = "variants"
#: Kinds of people, by the variables they have and the channels open to them, that a plan remembers.
_ALIKE = 512
_PLANS_KEPT = 4_096
#: Inline contents are kept few and small, since callers may send ever new ones of a megabyte.
_INLINE_KEPT, _INLINE_BYTES = 256, 16_384


def model_of(template_id: str | None) -> str:
    """The model of a template's variants; messages without a template share one."""
    return ADHOC_MODEL if template_id is None else f"variants:{template_id}"


def plan_of(
    template: Template, config: TenantConfig, language: str, channels: Sequence[str], compiler: Compiler = compile_content
) -> Plan:
    """Raises TemplateInvalid on a text that does not compile. A template without id is inline content."""
    chosen = tuple(channels or template.channels or config.channels)
    template_id = template.template_id or None
    variants = tuple(_planned(variant, template, config, language, chosen, compiler) for variant in template.variants)
    return Plan(
        model_id=model_of(template_id),
        template_id=template_id,
        template_version=template.version if template_id else None,
        language=language,
        category=template.category,
        channels=chosen,
        baseline_variant_id=template.baseline_variant_id,
        original=_original(template, variants),
        variants=variants,
        unfit=frozenset(name for name in chosen if any(name not in variant.channels for variant in variants)),
        declares=any(len(variant.actions) > 1 for variant in variants),
        _variables=tuple(dict.fromkeys(path for variant in variants for path in variant.compiled.variables)),
    )


class Plans:
    """Plans made ready: those of stored templates, and those of recent inline contents that are small."""

    def __init__(self) -> None:
        self._stored: Recent[object, Plan] = Recent(_PLANS_KEPT)
        self._inline: Recent[object, Plan] = Recent(_INLINE_KEPT)

    def of(self, template: Template, config: TenantConfig, language: str, channels: tuple[str, ...], category: str) -> Plan:
        """As `plan_of` makes it, of the template in this category."""
        stored = bool(template.template_id)
        what = (template.template_id, template.version) if stored else msgspec.json.encode(template.variants)
        plans = self._stored if stored else self._inline
        key = (template.tenant_id, what, config.version, language, channels, category)
        plan = plans.get(key)
        if plan is None:
            plan = plan_of(replace(template, category=category), config, language, channels)
            if stored or len(what) <= _INLINE_BYTES:
                plans.put(key, plan)
        return plan

    def clear(self) -> None:
        self._stored.clear()
        self._inline.clear()


def _original(template: Template, variants: Sequence[PlannedVariant]) -> Mapping[str, str]:
    at = next(i for i, variant in enumerate(variants) if variant.variant_id == template.baseline_variant_id)
    return template.variants[at].content[variants[at].locale]


def _planned(
    variant: Variant, template: Template, config: TenantConfig, language: str, channels: Sequence[str], compiler: Compiler
) -> PlannedVariant:
    wanted = [language, template.default_language]
    locale = choose_locale(wanted, variant.content, config.default_language) or next(iter(variant.content))
    compiled = compiler(variant.content[locale], _path(template, variant, locale))
    return PlannedVariant(
        variant_id=variant.variant_id,
        locale=locale,
        compiled=compiled,
        actions=variant_acts(variant.variant_id, variant.features.items()),
        channels=tuple(name for name in channels if fits(compiled, name, config.channel(name))),
        static=static_quality(compiled, locale, language, [config.channel(name) for name in channels]),
    )


def _path(template: Template, variant: Variant, locale: str) -> str:
    """Where the caller finds the text: inline content stands alone, and its locale may not have been said."""
    if template.variants == (variant,) and locale == ANY_LOCALE:
        return "content"
    at = f"variants.{template.variants.index(variant)}.content"
    return at if locale == ANY_LOCALE else f"{at}.{locale}"
