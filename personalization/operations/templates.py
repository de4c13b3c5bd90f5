"""Templates: checked when they are written, previewed before they are sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from personalization.clock import Clock, rfc3339
from personalization.content.locales import canonical_language
from personalization.content.templates import compile_content
from personalization.errors import Invalid, NotFound
from personalization.operations.configuration import Configuration
from personalization.operations.paging import key_of, number_of, page
from personalization.operations.previewing import preview
from personalization.operations.profiles import Profiles
from personalization.operations.rewarding import own_reward, own_reward_document
from personalization.storage.base import Storage
from personalization.template import Template, Variant
from personalization.vocabulary import Category

Document = dict[str, Any]


class Templates:
    """One tenant's templates."""

    def __init__(self, tenant_id: str, storage: Storage, configuration: Configuration, profiles: Profiles, clock: Clock) -> None:
        self._tenant_id, self._store, self._clock = tenant_id, storage.templates, clock
        self._configuration, self._profiles = configuration, profiles

    def create(self, document: Mapping[str, Any]) -> Document:
        """Raises Invalid, or Conflict when the id is in use."""
        template = self._checked(document)
        return template_document(self._store.save(replace(template, created_at=self._clock.now())))

    def put(self, template_id: str, document: Mapping[str, Any]) -> Document:
        """The next version. Raises Invalid, NotFound, or Conflict when another version came in between."""
        known = self.find(template_id)
        template = self._checked({**document, "template_id": template_id})
        return template_document(self._store.save(replace(template, version=known.version, created_at=known.created_at)))

    def document(self, template_id: str, version: int | None = None) -> Document:
        return template_document(self.find(template_id, version))

    def find(self, template_id: str, version: int | None = None) -> Template:
        """Raises NotFound."""
        template = self._store.get(self._tenant_id, template_id, version)
        if template is None:
            raise NotFound("template" if version is None else "template version")
        return template

    def delete(self, template_id: str) -> None:
        if not self._store.delete(self._tenant_id, template_id, self._clock.now()):
            raise NotFound("template")

    def list(self, limit: int, cursor: str | None) -> Document:
        found = self._store.list(self._tenant_id, limit + 1, key_of(cursor))
        return page([template_document(t) for t in found], found, limit, lambda template: template.template_id)

    def versions(self, template_id: str, limit: int, cursor: str | None) -> Document:
        self.find(template_id)
        found = self._store.versions(self._tenant_id, template_id, limit + 1, number_of(cursor))
        return page([template_document(t) for t in found], found, limit, lambda template: template.version)

    def preview(self, template_id: str, wanted: Mapping[str, Any]) -> Document:
        """Every variant (or the one named) as this person would read it, or in all its locales. Raises NotFound and Invalid."""
        profile = self._profiles.find(wanted["user_id"]) if wanted.get("user_id") else None
        if wanted.get("language"):
            wanted = {**wanted, "language": _language("language", wanted["language"])}
        return preview(self.find(template_id), self._configuration.current(), profile, wanted, self._clock.now())

    def _checked(self, document: Mapping[str, Any]) -> Template:
        """The template a document describes, every text compiled. Raises Invalid or TemplateInvalid."""
        variants = tuple(_variant(i, variant) for i, variant in enumerate(document["variants"]))
        ids = [variant.variant_id for variant in variants]
        if len(set(ids)) != len(ids):
            raise Invalid.field("variants", "must have different variant_ids")
        baseline = document.get("baseline_variant_id") or ids[0]
        if baseline not in ids:
            raise Invalid.field("baseline_variant_id", "names none of the variants")
        return Template(
            tenant_id=self._tenant_id,
            template_id=document["template_id"],
            version=0,
            name=document.get("name") or document["template_id"],
            variants=variants,
            baseline_variant_id=baseline,
            default_language=_language(
                "default_language", document.get("default_language") or self._configuration.current().default_language
            ),
            category=document.get("category") or Category.PROMOTIONAL,
            channels=tuple(dict.fromkeys(document.get("channels") or ())),
            topics=tuple(document.get("topics") or ()),
            metadata=dict(document.get("metadata") or {}),
            updated_at=self._clock.now(),
            reward=own_reward(document["reward"]) if document.get("reward") else None,
        )


def _variant(i: int, document: Mapping[str, Any]) -> Variant:
    content: dict[str, Mapping[str, str]] = {}
    for tag, parts in document["content"].items():
        locale = _language(f"variants.{i}.content.{tag}", tag)
        if locale in content:
            raise Invalid.field(f"variants.{i}.content.{tag}", f"stands twice; {locale} is there already")
        compile_content(parts, f"variants.{i}.content.{tag}")
        content[locale] = dict(parts)
    return Variant(variant_id=document["variant_id"], content=content, features=dict(document.get("features") or {}))


def _language(field: str, tag: str) -> str:
    try:
        return canonical_language(tag)
    except ValueError as wrong:
        raise Invalid.field(field, str(wrong)) from wrong


def template_document(template: Template) -> Document:
    return {
        "template_id": template.template_id,
        "version": template.version,
        "name": template.name,
        "category": template.category,
        "channels": list(template.channels),
        "default_language": template.default_language,
        "topics": list(template.topics),
        "baseline_variant_id": template.baseline_variant_id,
        "variants": [
            {
                "variant_id": variant.variant_id,
                "features": dict(variant.features),
                "content": {locale: dict(parts) for locale, parts in variant.content.items()},
            }
            for variant in template.variants
        ],
        "reward": own_reward_document(template.reward),
        "metadata": dict(template.metadata),
        "created_at": rfc3339(template.created_at),
        "updated_at": rfc3339(template.updated_at),
    }
