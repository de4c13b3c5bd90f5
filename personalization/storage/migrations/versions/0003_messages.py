"""Which message a decision sent, so that one by several channels counts once."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("decisions", sa.Column("message", sa.LargeBinary))
