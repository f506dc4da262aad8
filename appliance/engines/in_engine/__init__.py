"""What vLLM loads into its own process, in its own environment: the standard library and nothing else."""
