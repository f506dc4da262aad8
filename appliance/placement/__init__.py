"""Which engine lies on which GPUs, with how much memory: pure decisions with reasons."""
