"""OpenAI's chat API: what comes in, and how answers go out."""
