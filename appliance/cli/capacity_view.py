"""A profile in a few lines. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.capacity.profile import Profile


def profile_lines(profile: Profile) -> Iterator[str]:
    """Engines with their costs and bands, and the requests."""
    for engine in profile.engines:
        step = engine.step
        yield (
            f"{engine.model_id} on {engine.hardware} × {engine.tensor_parallel_size} "
            f"({engine.source}, ±{step.band:.0%}): a step {step.fixed_s * 1e3:.3g} ms, and {step.prefill_token_s * 1e6:.3g} µs for a prompt token, "
            f"{step.decode_sequence_s * 1e6:.3g} µs for a sequence, {step.kv_token_s * 1e9:.3g} ns for a KV token, "
            f"{step.prefill_context_s * 1e9:.3g} ns for a pair in attention; a call {engine.call_s * 1e3:.3g} ms; "
            f"wants {engine.device_share:.0%} of its device"
        )
    for traffic, trees in profile.trees.items():
        calls = sum(len(tree.calls) for tree in trees) / len(trees)
        yield f"{len(trees)} requests of the class {traffic}, with {calls:.1f} calls on average"
