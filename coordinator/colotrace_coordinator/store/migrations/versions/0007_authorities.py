"""Certificate authorities that replace one another."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """From 0006. The one authority signs, and is trusted."""
    op.add_column(
        "authorities", sa.Column("signs_at", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column("authorities", sa.Column("retired_at", sa.BigInteger()))
    op.add_column("authorities", sa.Column("crossed", sa.LargeBinary()))
