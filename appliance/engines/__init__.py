"""Engines: vLLM server processes, how they are started, and HTTP to them."""
