"""Measurements with their rows, what they are found by, and the coordinators that run them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """From 0002."""
    op.create_table(
        "measurements",
        sa.Column("id", sa.LargeBinary(), primary_key=True),
        sa.Column("account_id", sa.String(32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary()),
    )
    op.create_table(
        "measurement_chunks",
        sa.Column("id", sa.LargeBinary(), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("rows", sa.LargeBinary(), nullable=False),
        sa.Column("traces", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "measurement_words",
        sa.Column("word", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("id", sa.LargeBinary(), primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "measurement_accounts",
        sa.Column("account_id", sa.String(32), primary_key=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "coordinators",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("beat_ms", sa.BigInteger(), nullable=False),
    )
