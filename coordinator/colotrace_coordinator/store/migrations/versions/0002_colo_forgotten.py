"""When a colo is forgotten: one that no certificate vouches for sooner than others."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """From 0001."""
    op.add_column("colos", sa.Column("forget_at", sa.BigInteger()))
