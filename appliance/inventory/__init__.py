"""What machines there are: CPUs, memory and GPUs."""
