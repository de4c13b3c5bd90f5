"""What the contract with strangers needs: ended tokens, repeated requests, forgotten people."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "revoked_tokens",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("revoked_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "digest"),
    )
    op.create_index("revoked_tokens_by_time", "revoked_tokens", ["revoked_at"])
    op.create_index("revoked_tokens_by_end", "revoked_tokens", ["expires_at"])
    op.create_table(
        "idempotency",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("key_mac", sa.LargeBinary, nullable=False),
        sa.Column("body_mac", sa.LargeBinary, nullable=False),
        sa.Column("begun_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("sealed_answer", sa.LargeBinary),
        sa.PrimaryKeyConstraint("tenant_id", "key_mac"),
    )
    op.create_index("idempotency_by_end", "idempotency", ["expires_at"])
    op.create_table(
        "erasures",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("erasure_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("id_mac", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("user_ref", sa.LargeBinary),
        sa.Column("swept", sa.Text, nullable=False),
        sa.Column("requested_at", sa.BigInteger, nullable=False),
        sa.Column("completed_at", sa.BigInteger),
        sa.Column("certificate", sa.Text),
        sa.Column("lifted_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("tenant_id", "erasure_id"),
    )
    op.create_index("erasures_by_id", "erasures", ["tenant_id", "id_mac"])
    op.create_index("erasures_by_status", "erasures", ["status", "requested_at"])
    op.add_column("log_heads", sa.Column("erased", sa.BigInteger, nullable=False, server_default="0"))
