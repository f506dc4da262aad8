"""Tenants and their keys, and the shares and the months of their limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_tenants_keys"
down_revision = "0003_usage_audit"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "tenants",
        sa.Column("name", sa.String(), nullable=False, primary_key=True),
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_unix_s", sa.Float(), nullable=False),
        sa.Column("disabled_unix_s", sa.Float()),
    )
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(), nullable=False, primary_key=True),
        sa.Column("tenant", sa.String(), sa.ForeignKey("tenants.name"), nullable=False),
        sa.Column("digest", sa.String(), nullable=False, unique=True),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_unix_s", sa.Float(), nullable=False),
        sa.Column("expires_unix_s", sa.Float()),
        sa.Column("revoked_unix_s", sa.Float()),
        sa.Column("replaced_by", sa.String()),
    )
    op.create_table(
        "access_state",
        sa.Column("id", sa.Integer(), nullable=False, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("pepper_check", sa.String(), nullable=False),
    )
    op.create_table(
        "quota_shares",
        sa.Column("tenant", sa.String(), nullable=False, primary_key=True),
        sa.Column("name", sa.String(), nullable=False, primary_key=True),
        sa.Column("process", sa.String(), nullable=False, primary_key=True),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("wanted", sa.Float(), nullable=False),
        sa.Column("renewed_unix_s", sa.Float(), nullable=False),
    )
    op.create_table(
        "quota_spent",
        sa.Column("tenant", sa.String(), nullable=False, primary_key=True),
        sa.Column("period", sa.String(), nullable=False, primary_key=True),
        sa.Column("gpu_s", sa.Float(), nullable=False),
    )
