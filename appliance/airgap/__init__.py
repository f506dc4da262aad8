"""Across the air gap: signed bundles, made here and installed there, and the proof that nothing calls out."""
