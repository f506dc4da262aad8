"""The main job on the embedded starter pool: the demonstration and the held-out comparison."""
