"""Versions of the models that a tenant trains, with their artifacts."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "model_versions",
        sa.Column("tenant_id", sa.Text, sa.ForeignKey("tenants.tenant_id"), nullable=False),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("change", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("digest", sa.Text),
        sa.Column("artifact", sa.LargeBinary),
        sa.PrimaryKeyConstraint("tenant_id", "model_id", "version"),
    )
    op.create_index("model_versions_by_change", "model_versions", ["change"], unique=True)
    op.create_index("model_versions_by_status", "model_versions", ["status", "change"])
