"""The schema's version in a database, and its migrations."""

from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from colotrace_coordinator.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0008"
"""The revision of the newest migration."""


def revision(connection: Connection) -> str | None:
    """The revision of a database; None if it has no tables of ours."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).one_or_none()
    return None if row is None else str(row[0])


def upgrade(connection: Connection, to: str = "head") -> None:
    """Migrate to a revision, in the connection's transaction.

    Raises:
        StoreError: the database is newer than this program.
    """
    # Imported here, since most starts need no migration.
    from alembic import command
    from alembic.script.revision import ResolutionError
    from alembic.util import CommandError

    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, to)
    except CommandError as error:
        if not isinstance(error.__cause__, ResolutionError):  # the revision is known
            raise
        raise StoreError(
            f"the database is of a newer colotrace than this one ({error}); upgrade this program, "
            "or restore a backup that it made"
        ) from error


def is_known(found: str) -> bool:
    """Whether this program has migrations from this revision on."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config())
    return found in {script.revision for script in scripts.walk_revisions()}


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "colotrace_coordinator.store:migrations")
    config.set_main_option("path_separator", "os")
    return config
