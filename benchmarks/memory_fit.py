"""Fits the constants of `placement/overhead.py` to published start-ups, with whole models or publishers left out.

`python -m benchmarks.memory_fit [--cases FILE]` prints the fitted constants to copy into `FITTED`, and the error of the
overhead on the models that each fit had not seen. Least absolute deviations by pattern search; no start counts more for
being repeated: the cases of one cluster share one vote.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from appliance.domain.gpu import Card
from appliance.placement.engine_shape import GIB, EngineShape
from appliance.placement.overhead import FITTED, OverheadConstants, expected_overhead
from benchmarks.kv_cases import DEFAULT_CASES, Case, load_cases

FREE = (
    "sorted_logit_bytes",
    "triton_logit_bytes",
    "non_torch_bytes",
    "non_torch_doubling_bytes",
)
START = replace(
    FITTED,
    sorted_logit_bytes=24.0,
    triton_logit_bytes=18.0,
    non_torch_bytes=0.3 * GIB,
    non_torch_doubling_bytes=0.3 * GIB,
)


@dataclass(frozen=True, slots=True)
class Observation:
    """A start whose overhead is known: the budget less the weights and the KV cache that vLLM reported."""

    case: Case
    shape: EngineShape
    card: Card
    overhead_bytes: float


def shape_of(case: Case) -> EngineShape:
    """The case's settings; a length that the log did not show counts as 8192."""
    return EngineShape(
        max_model_len=case.max_model_len or 8192,
        tensor_parallel_size=case.tensor_parallel_size,
        pipeline_parallel_size=case.pipeline_parallel_size,
        max_num_seqs=case.max_num_seqs,
        max_num_batched_tokens=case.max_num_batched_tokens,
        quantization=case.quantization,
        kv_cache_dtype=case.kv_cache_dtype,
        block_size=case.block_size,
        enforce_eager=case.enforce_eager,
        vllm_version=case.vllm_version,
        legacy_engine=case.legacy_engine,
        expert_ranks=case.tensor_parallel_size * case.data_parallel_size,
    )


def observations(cases: Sequence[Case]) -> list[Observation]:
    """The cases that show their overhead. Draft models for speculation are outside of the model."""
    found = []
    for case in cases:
        if case.geometry is None or case.speculative or not case.gpu_bytes or not case.gpu_memory_utilization:
            continue
        if case.weights_bytes is None or case.kv_bytes is None:
            continue
        rest = case.gpu_memory_utilization * case.gpu_bytes - case.weights_bytes - case.kv_bytes
        found.append(Observation(case, shape_of(case), Card(case.gpu_name, case.gpu_bytes), rest))
    return found


def fit(seen: Sequence[Observation]) -> OverheadConstants:
    """Constants with the least absolute deviation of the overhead over `seen`, one vote per cluster."""
    votes = Counter(observation.case.cluster for observation in seen)

    def loss(constants: OverheadConstants) -> float:
        return sum(abs(_residual(item, constants)) / votes[item.case.cluster] for item in seen)

    return _pattern_search(loss, START)


def cross_validated(
    seen: Sequence[Observation], held_out: Callable[[Case], str]
) -> list[tuple[Observation, OverheadConstants]]:
    """Each observation with constants fitted without any case of its `held_out` group."""
    groups = sorted({held_out(item.case) for item in seen})
    fitted = {group: fit([item for item in seen if held_out(item.case) != group]) for group in groups}
    return [(item, fitted[held_out(item.case)]) for item in seen]


def by_model(case: Case) -> str:
    """Cases of one shape of model, whatever the quantisation, card or version."""
    return f"{case.geometry.architecture}-{case.geometry.parameters}" if case.geometry else case.model


def by_publisher(case: Case) -> str:
    """Cases from one source; those of unnamed files by cluster."""
    return case.cluster if case.publisher == "public" else case.publisher


def _residual(item: Observation, constants: OverheadConstants) -> float:
    """Measured less reckoned, in bytes: positive where the engine took more than thought."""
    assert item.case.geometry is not None
    return item.overhead_bytes - expected_overhead(item.case.geometry, item.shape, item.card, constants).budget_bytes


def _pattern_search(loss: Callable[[OverheadConstants], float], start: OverheadConstants) -> OverheadConstants:
    """Coordinate steps that halve when none helps; deterministic."""
    best, best_loss = start, loss(start)
    step = 0.5
    while step > 0.005:
        moved = False
        for name in FREE:
            for factor in (1 + step, 1 / (1 + step)):
                candidate = replace(best, **{name: getattr(best, name) * factor})
                value = loss(candidate)
                if value < best_loss * (1 - 1e-9):
                    best, best_loss, moved = candidate, value, True
        if not moved:
            step /= 2
    return best


def main() -> None:
    """Print the fit and its cross-validation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, default=DEFAULT_CASES)
    seen = observations(load_cases(parser.parse_args().cases))
    constants = fit(seen)
    print(f"fitted on {len(seen)} starts of {len({by_model(item.case) for item in seen})} models")
    for name in FREE:
        value = getattr(constants, name)
        print(f"  {name} = {value:.1f}" if "logit" in name else f"  {name} = {value / GIB:.3f} GiB")
    for label, group in (("model", by_model), ("publisher", by_publisher)):
        errors = [(_residual(item, other) / GIB, item) for item, other in cross_validated(seen, group)]
        print(f"one {label} left out: median |overhead error| {median(abs(error) for error, _ in errors):.2f} GiB")
        for error, item in sorted(errors, key=lambda pair: pair[0]):
            ranks = item.shape.tensor_parallel_size
            print(f"  {error:+6.2f} GiB  tp{ranks} {item.case.case_id} ({', '.join(item.case.flags)})")


if __name__ == "__main__":
    main()
