"""What every request passes through, each a plain ASGI application around the next one."""
