"""INSERT with ON CONFLICT, for which each dialect of SQLAlchemy has a class of its own."""

from sqlalchemy.dialects import postgresql, sqlite

from .tables import Base


def insert_into(table: type[Base], *, dialect: str) -> postgresql.Insert | sqlite.Insert:
    """An INSERT into the table. `dialect`: `sqlite` or `postgresql`."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
