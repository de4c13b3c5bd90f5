"""Runs the migrations on the connection it is handed, inside that connection's transaction and lock."""

from alembic import context

if hasattr(context, "config"):  # only Alembic's runner gives it one; whoever just imports this file runs nothing
    context.configure(connection=context.config.attributes["connection"])
    context.run_migrations()
