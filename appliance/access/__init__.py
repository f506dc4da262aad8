"""Who may come in and how much of it: keys, tokens and certificates of tenants, and the accounts of their limits."""
