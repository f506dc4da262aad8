"""What is kept: traces (and, later, usage, the audit chain, tenants and keys)."""
