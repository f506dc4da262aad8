"""How right an answer is, by rules that need no model, by tests in a sandbox, or by a judge."""
