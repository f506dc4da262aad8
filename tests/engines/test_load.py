"""Load from an engine's metrics."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from appliance.engines.load import EngineLoad, LoadReader, load_of
from tests.fakes.fake_vllm import FakeVllm

# vLLM 0.32's own, cut.
METRICS = """\
process_cpu_seconds_total 11.37
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting{engine="0",model_name="m"} 12.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 12.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:generation_tokens_total{engine="0",model_name="m"} 1.234e+06
vllm:generation_tokens_created{engine="0",model_name="m"} 1.7e+09
vllm:cache_config_info{block_size="128",engine="0",kv_cache_size_tokens="21760",num_gpu_blocks="170"} 1.0
"""


def test_figures_are_read() -> None:
    assert load_of(METRICS) == EngineLoad(3, 12, 1_234_000, 21_760, 0.25, 11.37)


def test_what_is_not_said_is_not_known() -> None:
    assert load_of("") == EngineLoad()
    assert load_of('vllm:num_requests_running{engine="0"} NaN\n') == EngineLoad()


def test_several_cores_are_added_up() -> None:
    assert load_of(METRICS + METRICS.replace('engine="0"', 'engine="1"')).running == 6


def test_an_engine_is_asked_and_silence_is_no_load() -> None:
    async def main() -> None:
        reader = LoadReader()
        try:
            async with FakeVllm() as fake:
                assert await reader.read(fake.status()) == EngineLoad(0, 0, 0, kv_used_share=0.0)
                nobody = replace(fake.status(), base_url="http://127.0.0.1:1")
            assert await reader.read(nobody) == EngineLoad()
        finally:
            await reader.close()

    asyncio.run(main())
