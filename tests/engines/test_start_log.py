"""Figures from vLLM's start. The CPU's lines are vLLM 0.32's own, cut; CUDA's are as users published them."""

from __future__ import annotations

from pathlib import Path

from appliance.engines.log import read_end
from appliance.engines.start_log import GIB, StartFigures, start_figures

CPU = """\
(APIServer pid=28684) INFO 11-24 00:27:23 [api_utils.py:347]   █▄█▀ █     █     █     █  model   /m/starter-math
(EngineCore pid=28773) INFO 11-24 00:27:43 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='/m'
[W1124 00:27:44.993638703 utils.cpp:68] Warning: NUMA binding: Using MEMBIND policy for memory allocation on the NUMA
(EngineCore pid=28773) INFO 11-24 00:27:44 [base_loader.py:82] Initializing model took 0.081354 seconds
(EngineCore pid=28773) INFO 11-24 00:27:44 [default_loader.py:501] Loading weights took 0.01 seconds
(EngineCore pid=28773) INFO 11-24 00:27:45 [cpu_worker.py:260] Explicitly set (0.06/23.54) GiB for KV cache on node 0.
(EngineCore pid=28773) INFO 11-24 00:27:45 [kv_cache_utils.py:2327] CPU KV cache size: 21,760 tokens, Maximum \
concurrency for 768 tokens per request: 28.33x
(EngineCore pid=28773) INFO 11-24 00:27:45 [core.py:402] init engine (profile, create kv cache, warmup) took 0.04 s
(APIServer pid=28684) INFO 11-24 00:27:56 [loggers.py:335] Engine 000: Avg prompt throughput: 0.8 tokens/s, Avg \
generation throughput: 2.1 tokens/s, Running: 0 reqs, Waiting: 0 reqs, CPU KV cache usage: 0.0%
"""
BEGIN = "(EngineCore pid=1) INFO 08-23 22:36:58 [core.py:94] Initializing a V1 LLM engine (v0.33.0) with config: …\n"
PINNED = """\
(EngineCore pid=1) INFO 08-23 22:37:30 [gpu_model_runner.py:4879] Model loading took 12.66 GiB memory and 31.657031 \
seconds
(EngineCore pid=1) INFO 08-23 22:37:34 [gpu_worker.py:491] Initial free memory 111.7 GiB, reserved 37.11 GiB memory \
for KV Cache as specified by kv_cache_memory_bytes config and skipped memory profiling.
(EngineCore pid=1) INFO 08-23 22:37:34 [kv_cache_utils.py:2235] GPU KV cache size: 1,209,295 tokens
(EngineCore pid=1) INFO 08-23 22:37:34 [kv_cache_utils.py:2236] Maximum concurrency for 1,048,576 tokens per request: \
1.15x
(EngineCore pid=1) INFO 08-23 22:37:52 [gpu_model_runner.py:5820] Graph capturing finished in 18 secs, took 0.96 GiB
"""
RANKS = """\
(Worker_TP0 pid=34322) INFO 05-06 20:59:59 [gpu_model_runner.py:4879] Model loading took 12.66 GiB memory and 31.6 s
(Worker_TP1 pid=34323) INFO 05-06 20:59:59 [gpu_model_runner.py:4879] Model loading took 12.7 GiB memory and 31.6 s
(Worker_TP0 pid=34322) INFO 05-06 21:00:30 [gpu_worker.py:298] Available KV cache memory: 8.11 GiB
(EngineCore pid=34300) INFO 05-06 21:00:30 [kv_cache_utils.py:1087] GPU KV cache size: 178,880 tokens
(Worker_TP0 pid=34322) INFO 05-06 21:00:40 [gpu_model_runner.py:3480] Graph capturing finished in 8 secs, took 0.31 GiB
(Worker_TP1 pid=34323) INFO 05-06 21:00:40 [gpu_model_runner.py:3480] Graph capturing finished in 8 secs, took 0.34 GiB
(Worker_TP0 pid=34322) INFO 05-06 21:00:41 [gpu_worker.py:900] Free memory on device (78.5/79.19 GiB) on startup. \
Desired GPU memory utilization is (0.9, 71.27 GiB). Actual usage is 13.02 GiB for consumed memory (weights + \
non-torch), 1.41 GiB for peak activation, and 0.31 GiB for CUDAGraph memory.
"""


def gib(value: float) -> int:
    return round(value * GIB)


def test_a_start_on_the_cpu_tells_version_and_kv_cache_alone() -> None:
    assert start_figures(CPU) == StartFigures("0.32.0", None, gib(0.06), 21_760)


def test_a_start_with_a_pinned_cache() -> None:
    assert start_figures(BEGIN + PINNED) == StartFigures("0.33.0", gib(12.66), gib(37.11), 1_209_295, gib(0.96))


def test_of_several_ranks_the_one_that_took_the_most_counts() -> None:
    told = start_figures(BEGIN + RANKS)
    assert (told.weights_bytes, told.graphs_bytes) == (gib(12.7), gib(0.34))
    assert (told.kv_bytes, told.kv_tokens) == (gib(8.11), 178_880)
    assert (told.consumed_bytes, told.peak_bytes) == (gib(13.02), gib(1.41))


def test_the_last_start_in_a_file_counts() -> None:
    assert start_figures(BEGIN + RANKS + BEGIN + PINNED) == start_figures(BEGIN + PINNED)
    assert start_figures(BEGIN + PINNED + BEGIN) == StartFigures("0.33.0")


def test_what_is_no_start_tells_nothing() -> None:
    assert start_figures("") == StartFigures()
    assert start_figures(PINNED) == StartFigures()


def test_a_development_version_keeps_its_number_and_loses_its_commit() -> None:
    line = "Initializing a V0 LLM engine (v0.7.4.dev390+gdebd6bbf) with config: …"
    assert start_figures(line).vllm_version == "0.7.4.dev390"


def test_the_end_of_a_log_is_read(tmp_path: Path) -> None:
    file = tmp_path / "engine.log"
    file.write_bytes(b"\xff" * 100 + CPU.encode())
    assert read_end(file, len(CPU.encode())) == CPU
    assert start_figures(read_end(file)).kv_tokens == 21_760
    assert read_end(tmp_path / "nothing") == ""
