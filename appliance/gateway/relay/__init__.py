"""The fast path: bytes between a caller and one engine, for requests that name a model of the pool."""
