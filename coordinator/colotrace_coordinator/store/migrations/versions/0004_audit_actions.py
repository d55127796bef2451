"""What was done, in the audit; the tags of colos."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """From 0003. All entries before were of measurements that were asked for."""
    op.add_column(
        "audit", sa.Column("action", sa.String(16), nullable=False, server_default="measure")
    )
    op.add_column(
        "audit", sa.Column("measurement_id", sa.String(32), nullable=False, server_default="")
    )
    op.add_column("colos", sa.Column("tags", sa.Text(), nullable=False, server_default=""))
