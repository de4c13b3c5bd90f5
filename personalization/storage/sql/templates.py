"""Templates: immutable versions, and which of them is the newest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from personalization.errors import Conflict
from personalization.recent import Recent
from personalization.storage.sql.engine import Database, Sql, Transaction
from personalization.storage.sql.head import locked_head
from personalization.storage.sql.packing import read_template, write_json
from personalization.storage.sql.schema import template_versions, templates
from personalization.template import Template

_REMEMBERED = 2_000
_ALIVE = templates.c.deleted_at.is_(None)
_NEWEST = Sql(
    sa.select(templates.c.version).where(
        templates.c.tenant_id == sa.bindparam("t"), templates.c.template_id == sa.bindparam("i"), _ALIVE
    )
)
_NEWEST_BODY = sa.and_(
    template_versions.c.tenant_id == templates.c.tenant_id,
    template_versions.c.template_id == templates.c.template_id,
    template_versions.c.version == templates.c.version,
)


class SqlTemplates:
    """A TemplateStore."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._versions: Recent[tuple[str, str, int], Template] = Recent(_REMEMBERED)

    def get(self, tenant_id: str, template_id: str, version: int | None = None) -> Template | None:
        known = None if version is None else self._versions.get((tenant_id, template_id, version))
        return known or self._read(tenant_id, template_id, version)

    def _read(self, tenant_id: str, template_id: str, version: int | None) -> Template | None:
        with self._database.read() as transaction:
            if version is None:
                newest = transaction.rows(_NEWEST, (tenant_id, template_id))
                if not newest:
                    return None
                version = newest[0][0]
                known = self._versions.get((tenant_id, template_id, version))
                if known:
                    return known
            body = transaction.execute(
                sa.select(template_versions.c.body).where(
                    template_versions.c.tenant_id == tenant_id,
                    template_versions.c.template_id == template_id,
                    template_versions.c.version == version,
                )
            ).scalar()
        return None if body is None else self._remembered(body)

    def _remembered(self, body: str) -> Template:
        template = read_template(body)
        self._versions.put((template.tenant_id, template.template_id, template.version), template)
        return template

    def save(self, template: Template) -> Template:
        tenant_id, template_id = template.tenant_id, template.template_id
        with self._database.write() as transaction, locked_head(transaction, tenant_id):
            saved = replace(template, version=self._next_version(transaction, template))
            row = {"version": saved.version, "deleted_at": None}
            if saved.version == 1:
                transaction.execute(sa.insert(templates).values(tenant_id=tenant_id, template_id=template_id, **row))
            else:
                transaction.execute(sa.update(templates).where(*_of(tenant_id, template_id)).values(row))
            transaction.insert(template_versions, [(tenant_id, template_id, saved.version, write_json(saved))])
        return saved

    def _next_version(self, transaction: Transaction, template: Template) -> int:
        statement = sa.select(templates.c.version, templates.c.deleted_at).where(*_of(template.tenant_id, template.template_id))
        row = transaction.execute(statement).first()
        alive = row is not None and row.deleted_at is None
        if template.version == 0 and alive:
            raise Conflict(f"There is a template {template.template_id} already; PUT changes it.")
        if template.version != 0 and (row is None or not alive or row.version != template.version):
            raise Conflict(f"Template {template.template_id} was changed since it was read; read it again and repeat the change.")
        return 1 if row is None else int(row.version) + 1

    def delete(self, tenant_id: str, template_id: str, at: int) -> bool:
        with self._database.write() as transaction:
            statement = sa.update(templates).where(*_of(tenant_id, template_id), _ALIVE).values(deleted_at=at)
            return transaction.execute(statement).rowcount > 0

    def versions(self, tenant_id: str, template_id: str, limit: int, before: int | None = None) -> list[Template]:
        statement = (
            sa.select(template_versions.c.body)
            .join(templates, sa.and_(*_of(tenant_id, template_id), _ALIVE))
            .where(template_versions.c.tenant_id == tenant_id, template_versions.c.template_id == template_id)
            .order_by(template_versions.c.version.desc())
            .limit(limit)
        )
        return self._listed(statement if before is None else statement.where(template_versions.c.version < before))

    def _listed(self, statement: sa.Select[Any]) -> list[Template]:
        with self._database.read() as transaction:
            return [self._remembered(body) for body in transaction.execute(statement).scalars()]

    def list(self, tenant_id: str, limit: int, after: str = "") -> list[Template]:
        return self._listed(
            sa.select(template_versions.c.body)
            .join(templates, _NEWEST_BODY)
            .where(templates.c.tenant_id == tenant_id, templates.c.template_id > after, _ALIVE)
            .order_by(templates.c.template_id)
            .limit(limit)
        )


def _of(tenant_id: str, template_id: str) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    return templates.c.tenant_id == tenant_id, templates.c.template_id == template_id
