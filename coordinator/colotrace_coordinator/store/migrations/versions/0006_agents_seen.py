"""What agents have told last, and whether they are attached."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """From 0005."""
    op.create_table(
        "agents_seen",
        sa.Column("colo", sa.String(32), primary_key=True),
        sa.Column("agent_id", sa.String(64), primary_key=True),
        sa.Column("coordinator", sa.String(64), nullable=False),
        sa.Column("enrolled", sa.Boolean(), nullable=False),
        sa.Column("host", sa.String(64), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("families", sa.String(16), nullable=False),
        sa.Column("attached", sa.Boolean(), nullable=False),
        sa.Column("attached_since", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("cpu_millis", sa.BigInteger()),
        sa.Column("memory_bytes", sa.BigInteger()),
        sa.Column("trouble", sa.Text()),
        sa.Column("trouble_at", sa.BigInteger()),
    )
    op.create_index("ix_agents_seen_seen_at", "agents_seen", ["seen_at"])
