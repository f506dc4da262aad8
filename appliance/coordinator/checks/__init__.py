"""Deterministic checks of a result: what a plan may ask for, and what is found without any model. Pure."""
