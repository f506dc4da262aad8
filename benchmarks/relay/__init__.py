"""What `benchmarks/gateway.py` is made of: a mock engine, a load generator, and the gateways that are compared."""
