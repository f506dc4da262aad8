from pathlib import Path

import pytest

from appliance.capacity.engine_profile import EngineProfile, Source
from appliance.capacity.roofline import Build, roofline
from appliance.catalog.loader import load_catalog
from appliance.domain.gpu import Card
from appliance.placement.engine_shape import GIB, EngineShape
from appliance.placement.memory import engine_memory
from appliance.placement.throughput import Speed

CATALOG = load_catalog(Path("models/catalog"))
H100, L4 = Speed(3.35e12, 989e12), Speed(300e9, 121e12)


def reckoned(model_id: str, speed: Speed = H100, ranks: int = 1) -> EngineProfile:
    model = CATALOG[model_id]
    assert model.geometry is not None
    shape = EngineShape(8192, ranks, max_num_seqs=64, max_num_batched_tokens=8192, quantization=model.quantization)
    memory = engine_memory(model.geometry, shape, Card("NVIDIA H100 80GB HBM3", 80 * GIB))
    return roofline(model, memory, Build("h100", speed, ranks, True, 20 * GIB, 64, 8192, "0.33.0"))


def test_it_says_that_nobody_measured_it() -> None:
    found = reckoned("qwen3-8b")

    assert found.source is Source.UNMEASURED
    assert found.step.band >= 0.3
    assert "not measured" in found.note
    assert found.revision == CATALOG["qwen3-8b"].revision


def test_a_step_takes_what_reading_the_weights_takes_and_a_bit() -> None:
    found = reckoned("qwen3-8b")

    assert 16e9 / 3.35e12 < found.step.step_s(0, 0, 1, 1000) < 3 * 16e9 / 3.35e12
    assert found.step.prefill_token_s == pytest.approx(2 * 8e9 / (989e12 * 0.5), rel=0.1)
    assert 20 * GIB / 200_000 < found.kv_tokens < 20 * GIB / 100_000  # 144 KiB a token


def test_slower_hardware_and_larger_models_take_longer_and_more_ranks_less() -> None:
    base = reckoned("qwen3-8b").step.fixed_s

    assert reckoned("qwen3-8b", L4).step.fixed_s > 4 * base
    assert reckoned("qwen3-14b").step.fixed_s > 1.3 * base
    assert reckoned("qwen3-14b", ranks=2).step.fixed_s < 0.8 * reckoned("qwen3-14b").step.fixed_s


def test_a_mixture_of_experts_reads_what_it_visits() -> None:
    whole, visited = CATALOG["qwen3-30b-a3b"], reckoned("qwen3-30b-a3b").step

    assert visited.fixed_s < 2 * whole.parameters / (3.35e12 * 0.6) * 1.2
    assert visited.prefill_token_s < reckoned("qwen3-14b").step.prefill_token_s
