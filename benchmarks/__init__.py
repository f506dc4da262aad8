"""Load scenarios, evaluation suites, peer comparisons and their recorded results."""
