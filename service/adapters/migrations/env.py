"""Alembic's entry: it works on the connection that `service.adapters.database` gives it, in its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
context.run_migrations()
