"""Runs the migrations on the connection it is handed, inside that connection's transaction and lock."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
