"""Alembic's entry: runs the migrations on the connection that `store_migrate.upgrade` hands over.

The caller holds the lock and the transaction, so that a crash half-way leaves the old schema.
"""

from alembic import context

from rerail.guard.store_schema import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
