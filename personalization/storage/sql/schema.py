"""The tables, as the newest migration leaves them. Every primary key begins with the tenant.

Instants are microseconds since 1970 UTC. `sealed…` columns hold what a Cipher made, `…_mac` 16 bytes of HMAC; columns
named in the plural without a type of their own (`declared`, `patterns`) are MessagePack of the dataclasses.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

metadata = sa.MetaData()

_Json = sa.JSON().with_variant(JSONB(), "postgresql")


def _tenant(references: bool = False) -> sa.Column[str]:
    keys = [sa.ForeignKey("tenants.tenant_id")] if references else []
    return sa.Column("tenant_id", sa.Text, *keys, primary_key=True)


tenants = sa.Table(
    "tenants",
    metadata,
    _tenant(),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
    sa.Column("wrapped_index_key", sa.LargeBinary, nullable=False),
)

tenant_configs = sa.Table(
    "tenant_configs",
    metadata,
    _tenant(references=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("config", sa.Text, nullable=False),
)

#: Unique over the installation: a request names its key before anyone knows its tenant.
api_keys = sa.Table(
    "api_keys",
    metadata,
    _tenant(references=True),
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("revoked_at", sa.BigInteger),
    sa.Index("api_keys_by_id", "key_id", unique=True),
    sa.Index("api_keys_by_revocation", "revoked_at"),
)

#: Number of the newest row of a tenant's log; its row lock is the lock of everything a tenant writes. `erased` is the
#: number of the newest tombstone among them, 0 when nobody left yet.
log_heads = sa.Table(
    "log_heads",
    metadata,
    _tenant(references=True),
    sa.Column("head", sa.BigInteger, nullable=False),
    sa.Column("erased", sa.BigInteger, nullable=False, server_default="0"),
)

users = sa.Table(
    "users",
    metadata,
    _tenant(references=True),
    sa.Column("user_ref", sa.LargeBinary, primary_key=True),
    sa.Column("id_mac", sa.LargeBinary, nullable=False),
    sa.Column("sealed_id", sa.LargeBinary, nullable=False),
    sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Index("users_by_id", "tenant_id", "id_mac", unique=True),
)

profiles = sa.Table(
    "profiles",
    metadata,
    _tenant(),
    sa.Column("user_ref", sa.LargeBinary, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("sealed_attributes", sa.LargeBinary),
    sa.Column("traits", _Json, nullable=False),
    sa.Column("language", sa.Text),
    sa.Column("timezone", sa.Text),
    sa.Column("declared", sa.LargeBinary, nullable=False),
    sa.Column("consent", sa.LargeBinary, nullable=False),
    sa.Column("patterns", sa.LargeBinary, nullable=False),
    sa.Column("learned_seq", sa.BigInteger, nullable=False),
)

consents = sa.Table(
    "consents",
    metadata,
    _tenant(),
    sa.Column("user_ref", sa.LargeBinary, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("consent", sa.LargeBinary, nullable=False),
)

templates = sa.Table(
    "templates",
    metadata,
    _tenant(references=True),
    sa.Column("template_id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("deleted_at", sa.BigInteger),
)

template_versions = sa.Table(
    "template_versions",
    metadata,
    _tenant(),
    sa.Column("template_id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("body", sa.Text, nullable=False),
)

#: On PostgreSQL partitioned by the month of `recorded_at`, which therefore is part of the key.
events = sa.Table(
    "events",
    metadata,
    _tenant(),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("recorded_at", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("occurred_at", sa.BigInteger, nullable=False),
    sa.Column("user_ref", sa.LargeBinary),
    sa.Column("decision_id", sa.Text),
    sa.Column("template_id", sa.Text),
    sa.Column("channel", sa.Text),
    sa.Column("name", sa.Text),
    sa.Column("value", sa.Double),
    sa.Column("currency", sa.Text),
    sa.Column("zone_offset", sa.Integer, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("sealed_words", sa.LargeBinary),
    sa.Column("body", sa.LargeBinary),
    sa.Index("events_by_user", "tenant_id", "user_ref", "seq"),
    sa.Index("events_by_decision", "tenant_id", "decision_id"),
    sa.Index("events_by_time", "tenant_id", "occurred_at"),
    postgresql_partition_by="RANGE (recorded_at)",
)

#: What makes an event once for ever; outlives the events. On PostgreSQL partitioned by the hash of the key.
event_keys = sa.Table(
    "event_keys",
    metadata,
    _tenant(),
    sa.Column("event_mac", sa.LargeBinary, primary_key=True),
    sa.Column("body_mac", sa.LargeBinary, nullable=False),
    postgresql_partition_by="HASH (event_mac)",
    sqlite_with_rowid=False,
)

#: `active` is what the log says for ever, `status` what has become of the decision.
decisions = sa.Table(
    "decisions",
    metadata,
    _tenant(),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("decision_id", sa.Text, nullable=False),
    sa.Column("user_ref", sa.LargeBinary),
    sa.Column("decided_at", sa.BigInteger, nullable=False),
    sa.Column("slot_at", sa.BigInteger),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("template_id", sa.Text),
    sa.Column("template_version", sa.Integer),
    sa.Column("variant_id", sa.Text),
    sa.Column("channel", sa.Text),
    sa.Column("suppression", sa.Text),
    sa.Column("quality", sa.Double),
    sa.Column("zone_offset", sa.Integer, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("body_mac", sa.LargeBinary, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),
    sa.Column("sealed_values", sa.LargeBinary),
    sa.Column("message", sa.LargeBinary),
    sa.Index("decisions_by_id", "tenant_id", "decision_id", unique=True),
    sa.Index("decisions_by_user", "tenant_id", "user_ref", "seq"),
    sa.Index("decisions_by_time", "tenant_id", "decided_at"),
)

#: The sends that count for caps; a released one is gone. The key is the order in which they are looked up.
cap_reservations = sa.Table(
    "cap_reservations",
    metadata,
    _tenant(),
    sa.Column("user_ref", sa.LargeBinary, primary_key=True),
    sa.Column("slot_at", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("category", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

snapshots = sa.Table(
    "snapshots",
    metadata,
    _tenant(),
    sa.Column("snapshot_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("model_id", sa.Text, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("snapshots_by_id", "snapshot_id", unique=True),
    sa.Index("snapshots_by_model", "tenant_id", "model_id", "snapshot_id"),
)

#: `change` grows with every change of any row, so that other processes see what is new to them.
model_versions = sa.Table(
    "model_versions",
    metadata,
    _tenant(references=True),
    sa.Column("model_id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("changed_at", sa.BigInteger, nullable=False),
    sa.Column("change", sa.BigInteger, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("digest", sa.Text),
    sa.Column("artifact", sa.LargeBinary),
    sa.Index("model_versions_by_change", "change", unique=True),
    sa.Index("model_versions_by_status", "status", "change"),
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    _tenant(),
    sa.Column("follower", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

#: Bearer tokens ended before their time, by the SHA-256 of the jti; a row goes once the token would have expired.
revoked_tokens = sa.Table(
    "revoked_tokens",
    metadata,
    _tenant(),
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("revoked_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Index("revoked_tokens_by_time", "revoked_at"),
    sa.Index("revoked_tokens_by_end", "expires_at"),
)

#: One row an Idempotency-Key of a principal; `sealed_answer` is absent while its request is under way.
idempotency = sa.Table(
    "idempotency",
    metadata,
    _tenant(),
    sa.Column("key_mac", sa.LargeBinary, primary_key=True),
    sa.Column("body_mac", sa.LargeBinary, nullable=False),
    sa.Column("begun_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("sealed_answer", sa.LargeBinary),
    sa.Index("idempotency_by_end", "expires_at"),
)

#: Who asked to be forgotten, by the HMAC of the id alone, and how far it has come. `user_ref` is there while rows may
#: have to be swept; `lifted_at` says that the id was taken into use afresh.
erasures = sa.Table(
    "erasures",
    metadata,
    _tenant(),
    sa.Column("erasure_id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("id_mac", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("user_ref", sa.LargeBinary),
    sa.Column("swept", sa.Text, nullable=False),
    sa.Column("requested_at", sa.BigInteger, nullable=False),
    sa.Column("completed_at", sa.BigInteger),
    sa.Column("certificate", sa.Text),
    sa.Column("lifted_at", sa.BigInteger),
    sa.Index("erasures_by_id", "tenant_id", "id_mac"),
    sa.Index("erasures_by_status", "status", "requested_at"),
)
