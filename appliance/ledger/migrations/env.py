"""What Alembic runs for each upgrade: the revisions, on the connection that `upgrade` was given."""

from __future__ import annotations

from alembic import context

from appliance.ledger.migrations import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
