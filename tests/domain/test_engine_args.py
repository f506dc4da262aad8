"""Further vLLM options: what is refused, what is foreseen, and what is not."""

from __future__ import annotations

import pytest

from appliance.domain.engine_args import kv_cache_dtype, not_foreseen, online_quantization, options, refusals


def test_options_are_read_as_vllm_reads_them() -> None:
    args = ("--kv_cache_dtype", "fp8", "--seed=-1", "-tp", "2", "--enable-lora", "-O3", "--x", "-O", "2", "--last")
    assert options(args) == (
        ("--kv-cache-dtype", "fp8"),
        ("--seed", "-1"),
        ("-tp", "2"),
        ("--enable-lora", ""),
        ("-O", "3"),
        ("--x", ""),
        ("-O", "2"),
        ("--last", ""),
    )
    assert options(()) == ()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--max-num-seqs", "4"), "--max-num-seqs is set by engine.max_num_seqs; set that instead"),
        (("--gpu_memory_utilization=0.5",), "--gpu-memory-utilization is set by engine.gpu_memory_utilization"),
        (("-tp", "2"), "-tp is set by engine.tensor_parallel_size"),
        (("--port", "1"), "--port is set by the appliance; take it out"),
        (("--trust-remote-code",), "--trust-remote-code is not offered: it would run code"),
        (("-pp", "2"), "-pp is not offered: engines share GPUs of one machine by tensor_parallel_size only"),
        (("--kv-cache-dtype", "nvfp4"), "--kv-cache-dtype nvfp4: its bytes are not known to the memory model"),
        (("--kv-cache-dtype",), "--kv-cache-dtype : its bytes are not known"),
    ],
)
def test_what_is_refused_names_the_way_out(args: tuple[str, ...], said: str) -> None:
    [refusal] = refusals(args)
    assert refusal.startswith(said)


def test_all_that_is_refused_is_told_at_once() -> None:
    assert len(refusals(("--port", "1", "--dtype", "float16", "--seed", "7"))) == 2


def test_other_options_pass() -> None:
    args = ("--reasoning-parser", "qwen3", "--kv-cache-dtype", "fp8_e4m3", "--enable-lora", "--seed", "7")
    assert refusals(args) == ()
    assert not_foreseen(args) == ("--enable-lora",)


def test_types_of_cache_and_weights() -> None:
    assert (kv_cache_dtype(()), online_quantization(())) == ("auto", None)
    args = ("--kv-cache-dtype", "auto", "--kv-cache-dtype=fp8", "--quantization", "ptpc_fp8")
    assert (kv_cache_dtype(args), online_quantization(args), not_foreseen(args)) == ("fp8", "fp8", ())
    other = ("-q", "torchao")
    assert (online_quantization(other), not_foreseen(other)) == (None, ("-q",))
