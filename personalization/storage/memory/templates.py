"""Templates, every version of them."""

from __future__ import annotations

from dataclasses import replace

from personalization.errors import Conflict
from personalization.storage.memory.rows import Room
from personalization.template import Template


class MemoryTemplates(Room):
    """A TemplateStore."""

    def get(self, tenant_id: str, template_id: str, version: int | None = None) -> Template | None:
        with self._lock:
            tenant = self._house.known(tenant_id)
            versions = tenant.templates.get(template_id, [])
            if version is not None:
                return versions[version - 1] if 0 < version <= len(versions) else None
            return versions[-1] if versions and template_id not in tenant.deleted_templates else None

    def save(self, template: Template) -> Template:
        with self._lock:
            tenant, template_id = self._house.tenant(template.tenant_id), template.template_id
            versions = tenant.templates.get(template_id, [])
            alive = bool(versions) and template_id not in tenant.deleted_templates
            if template.version == 0 and alive:
                raise Conflict(f"There is a template {template_id} already; PUT changes it.")
            if template.version != 0 and (not alive or versions[-1].version != template.version):
                raise Conflict(f"Template {template_id} was changed since it was read; read it again and repeat the change.")
            saved = replace(template, version=len(versions) + 1)
            tenant.templates.setdefault(template_id, []).append(saved)
            tenant.deleted_templates.discard(template_id)
            return saved

    def delete(self, tenant_id: str, template_id: str, at: int) -> bool:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            if template_id not in tenant.templates or template_id in tenant.deleted_templates:
                return False
            tenant.deleted_templates.add(template_id)
            return True

    def versions(self, tenant_id: str, template_id: str, limit: int, before: int | None = None) -> list[Template]:
        with self._lock:
            tenant = self._house.known(tenant_id)
            versions = [] if template_id in tenant.deleted_templates else tenant.templates.get(template_id, [])
            return [t for t in reversed(versions) if before is None or t.version < before][:limit]

    def list(self, tenant_id: str, limit: int, after: str = "") -> list[Template]:
        with self._lock:
            tenant = self._house.known(tenant_id)
            alive = sorted(t for t in tenant.templates if t > after and t not in tenant.deleted_templates)[:limit]
            return [tenant.templates[template_id][-1] for template_id in alive]
