"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

KEY_PARTITIONS = 8


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
        sa.Column("wrapped_index_key", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id"),
    )
    op.create_table(
        "tenant_configs",
        sa.Column("tenant_id", sa.Text, sa.ForeignKey("tenants.tenant_id"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "version"),
    )
    op.create_table(
        "api_keys",
        sa.Column("tenant_id", sa.Text, sa.ForeignKey("tenants.tenant_id"), nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("tenant_id", "key_id"),
    )
    op.create_index("api_keys_by_id", "api_keys", ["key_id"], unique=True)
    op.create_index("api_keys_by_revocation", "api_keys", ["revoked_at"])
    op.create_table(
        "log_heads",
        sa.Column("tenant_id", sa.Text, sa.ForeignKey("tenants.tenant_id"), nullable=False),
        sa.Column("head", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id"),
    )
    op.create_table(
        "users",
        sa.Column("tenant_id", sa.Text, sa.ForeignKey("tenants.tenant_id"), nullable=False),
        sa.Column("user_ref", sa.LargeBinary, nullable=False),
        sa.Column("id_mac", sa.LargeBinary, nullable=False),
        sa.Column("sealed_id", sa.LargeBinary, nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_ref"),
    )
    op.create_index("users_by_id", "users", ["tenant_id", "id_mac"], unique=True)
    op.create_table(
        "profiles",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("user_ref", sa.LargeBinary, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("sealed_attributes", sa.LargeBinary),
        sa.Column("traits", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("language", sa.Text),
        sa.Column("timezone", sa.Text),
        sa.Column("declared", sa.LargeBinary, nullable=False),
        sa.Column("consent", sa.LargeBinary, nullable=False),
        sa.Column("patterns", sa.LargeBinary, nullable=False),
        sa.Column("learned_seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_ref"),
    )
    op.create_table(
        "consents",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("user_ref", sa.LargeBinary, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("consent", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_ref", "version"),
    )
    op.create_table(
        "templates",
        sa.Column("tenant_id", sa.Text, sa.ForeignKey("tenants.tenant_id"), nullable=False),
        sa.Column("template_id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("deleted_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("tenant_id", "template_id"),
    )
    op.create_table(
        "template_versions",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("template_id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "template_id", "version"),
    )
    _create_log()
    op.create_table(
        "snapshots",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("snapshot_id", sa.BigInteger, nullable=False),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "snapshot_id"),
    )
    op.create_index("snapshots_by_id", "snapshots", ["snapshot_id"], unique=True)
    op.create_index("snapshots_by_model", "snapshots", ["tenant_id", "model_id", "snapshot_id"])
    op.create_table(
        "checkpoints",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("follower", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "follower"),
    )


def _create_log() -> None:
    op.create_table(
        "events",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
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
        sa.PrimaryKeyConstraint("tenant_id", "seq", "recorded_at"),
        postgresql_partition_by="RANGE (recorded_at)",
    )
    op.create_index("events_by_user", "events", ["tenant_id", "user_ref", "seq"])
    op.create_index("events_by_decision", "events", ["tenant_id", "decision_id"])
    op.create_index("events_by_time", "events", ["tenant_id", "occurred_at"])
    op.create_table(
        "event_keys",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("event_mac", sa.LargeBinary, nullable=False),
        sa.Column("body_mac", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "event_mac"),
        postgresql_partition_by="HASH (event_mac)",
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE TABLE events_default PARTITION OF events DEFAULT")
        for n in range(KEY_PARTITIONS):
            op.execute(f"CREATE TABLE event_keys_{n} PARTITION OF event_keys FOR VALUES WITH (MODULUS {KEY_PARTITIONS}, REMAINDER {n})")
    op.create_table(
        "decisions",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
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
        sa.PrimaryKeyConstraint("tenant_id", "seq"),
    )
    op.create_index("decisions_by_id", "decisions", ["tenant_id", "decision_id"], unique=True)
    op.create_index("decisions_by_user", "decisions", ["tenant_id", "user_ref", "seq"])
    op.create_index("decisions_by_time", "decisions", ["tenant_id", "decided_at"])
    op.create_table(
        "cap_reservations",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("user_ref", sa.LargeBinary, nullable=False),
        sa.Column("slot_at", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_ref", "slot_at", "seq"),
        sqlite_with_rowid=False,
    )
