"""What alembic runs: the steps, on the connection that `store.schema` hands over."""

from alembic import context

from colotrace_coordinator.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
context.run_migrations()
