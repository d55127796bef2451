"""The names in agents' certificates."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """From 0007. Certificates are taken for such of the agents' present names."""
    op.add_column("agents", sa.Column("certified_name", sa.String(100)))
