"""A profile in a few lines. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.capacity.profile import Profile


def profile_lines(profile: Profile) -> Iterator[str]:
    """Engines with their costs and bands, and the requests."""
    for engine in profile.engines:
        step = engine.step
        costs = (
            f"a step {step.fixed_s * 1e3:.3g} ms",
            f"a prompt token {step.prefill_token_s * 1e6:.3g} µs",
            f"a sequence {step.decode_sequence_s * 1e6:.3g} µs",
            f"a KV token {step.kv_token_s * 1e9:.3g} ns",
            f"a pair in attention {step.prefill_context_s * 1e9:.3g} ns",
            f"a call {engine.call_s * 1e3:.3g} ms and {engine.server_s * 1e3:.3g} ms of the server",
            f"a token {engine.server_token_s * 1e6:.3g} µs of the server",
            f"{engine.device_share:.0%} of its device while busy",
        )
        kind = f"{engine.hardware} × {engine.tensor_parallel_size}, {engine.source} ±{step.band:.0%}"
        yield f"{engine.model_id} ({kind}): {', '.join(costs)}"
    for traffic, trees in profile.trees.items():
        calls = sum(len(tree.calls) for tree in trees) / len(trees)
        yield f"{len(trees)} requests of the class {traffic}, with {calls:.1f} calls on average"
