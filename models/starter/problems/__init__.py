"""The task family of the starter models: pure Python, seeded, no third-party imports."""
