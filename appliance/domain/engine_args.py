"""Further vLLM options of an engine: which change its memory, and whether that is foreseen. Pure.

1. What a setting of ours says already, or the appliance must say itself, is refused.
2. `--kv-cache-dtype` and online `--quantization` are read by the memory model.
3. Others that change memory are let through, named as not foreseen, and count once a start has measured them.
4. All else goes to vLLM as it stands.
"""

from __future__ import annotations

from collections.abc import Sequence

BY_SETTING = {
    "--dtype": "engine.dtype",
    "--enforce-eager": "engine.enforce_eager",
    "--gpu-memory-utilization": "engine.gpu_memory_utilization",
    "--kv-cache-memory": "engine.kv_cache_memory_bytes",
    "--kv-cache-memory-bytes": "engine.kv_cache_memory_bytes",
    "--max-model-len": "engine.max_model_len",
    "--max-num-batched-tokens": "engine.max_num_batched_tokens",
    "--max-num-seqs": "engine.max_num_seqs",
    "--num-gpu-blocks-override": "engine.kv_cache_memory_bytes",
    "--shutdown-timeout": "engines.drain_timeout_s",
    "--tensor-parallel-size": "engine.tensor_parallel_size",
    "-tp": "engine.tensor_parallel_size",
    "--enable-sleep-mode": "placement.turns",
    "--runner": "the task in the model's manifest",
}
"""Option → the setting that says it, at the pool entry where it begins with `engine`."""
OURS = frozenset({"--api-key", "--host", "--model", "--port", "--scheduling-policy", "--served-model-name", "--uds"})
"""What the appliance says itself."""
NOT_OFFERED = {
    "--trust-remote-code": "it would run code that comes with a model",
    **dict.fromkeys(
        ("--data-parallel-size", "-dp", "--pipeline-parallel-size", "-pp", "--nnodes", "--headless"),
        "engines share GPUs of one machine by tensor_parallel_size only; for more engines raise replicas",
    ),
}
"""Option → why it can't be had."""
KV_CACHE_DTYPES = ("auto", "float16", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc", "fp8_ds_mla")
"""Types of the KV cache whose bytes the memory model knows."""
ONLINE_QUANTIZATIONS = {"fp8": "fp8", "ptpc_fp8": "fp8", "bitsandbytes": "bitsandbytes"}
"""vLLM's name → the memory model's, for weights that are quantised while they are loaded."""
CHANGE_MEMORY = frozenset(
    {
        "--additional-config",
        "--attention-backend",
        "--block-size",
        "--compilation-config",
        "-O",
        "--cpu-offload-gb",
        "--cuda-graph-sizes",
        "--cudagraph-capture-sizes",
        "--enable-expert-parallel",
        "--enable-lora",
        "--hf-overrides",
        "--kv-transfer-config",
        "--limit-mm-per-prompt",
        "--long-prefill-token-threshold",
        "--mamba-cache-dtype",
        "--mamba-ssm-cache-dtype",
        "--max-cudagraph-capture-size",
        "--max-lora-rank",
        "--max-loras",
        "--quantization",
        "-q",
        "--speculative-config",
    }
)
"""Options whose bytes nobody here reckons."""


def refusals(args: Sequence[str]) -> tuple[str, ...]:
    """What may not stand among the further options, each with the way out."""
    found = []
    for name, value in options(args):
        if name in BY_SETTING:
            found.append(f"{name} is set by {BY_SETTING[name]}; set that instead")
        elif name in OURS:
            found.append(f"{name} is set by the appliance; take it out")
        elif name in NOT_OFFERED:
            found.append(f"{name} is not offered: {NOT_OFFERED[name]}")
        elif name == "--kv-cache-dtype" and value not in KV_CACHE_DTYPES:
            known = ", ".join(KV_CACHE_DTYPES)
            found.append(f"--kv-cache-dtype {value}: its bytes are not known to the memory model; use one of {known}")
    return tuple(found)


def kv_cache_dtype(args: Sequence[str]) -> str:
    """The type of the KV cache."""
    return next((value for name, value in reversed(options(args)) if name == "--kv-cache-dtype"), "auto")


def online_quantization(args: Sequence[str]) -> str | None:
    """The format to which weights are quantised while they are loaded; None where they stay as they are."""
    asked = (value for name, value in reversed(options(args)) if name in {"--quantization", "-q"})
    return ONLINE_QUANTIZATIONS.get(next(asked, ""))


def not_foreseen(args: Sequence[str]) -> tuple[str, ...]:
    """Options that change the memory in a way that is known only from a start."""
    known = online_quantization(args)
    return tuple(
        name for name, _ in options(args) if name in CHANGE_MEMORY and not (known and name in {"--quantization", "-q"})
    )


def options(args: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Names as vLLM reads them (`_` is `-`), each with its value: after `=`, or the next argument; empty where none."""
    found: list[tuple[str, str]] = []
    for position, arg in enumerate(args):
        if not arg.startswith("-") or arg[1:2].isdigit():
            continue
        name, equals, value = arg.partition("=")
        following = args[position + 1] if position + 1 < len(args) else ""
        if not equals and not following.startswith("-"):
            value = following
        if name.startswith("-O") and not name.startswith("--"):
            name, value = "-O", name[2:] or value
        found.append((name.replace("_", "-") if name.startswith("--") else name, value))
    return tuple(found)
