"""The time by the database's clock, which all its coordinators share."""

from sqlalchemy import BigInteger, ColumnElement, literal_column

_NOW_MS = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
}


def now_ms(dialect: str) -> ColumnElement[int]:
    """Milliseconds of Unix time. `dialect`: `sqlite` or `postgresql`."""
    return literal_column(_NOW_MS[dialect], BigInteger)
