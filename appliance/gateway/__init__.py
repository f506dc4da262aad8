"""The HTTP door: OpenAI's API, traces, health and metrics."""
