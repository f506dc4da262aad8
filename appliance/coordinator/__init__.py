"""One chat request from start to end: choose a strategy, plan, execute, verify, answer, within a budget."""
