"""From one call to one engine: wait for room, pick the engine, stream its chunks."""
