"""EngineSpec → vLLM's command line and environment. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from appliance.domain.endpoint import Endpoint, EngineTask
from appliance.domain.engine import Device, EngineSpec

PASSED_ON = frozenset(
    {"CC", "CXX", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "LD_PRELOAD", "LOGNAME", "PATH", "TMPDIR",
     "TZ", "USER"}
)  # fmt: skip
PASSED_ON_PREFIXES = ("CUDA_", "GLOO_", "NCCL_", "NVIDIA_")
"""All that an engine gets of its parent's environment: a secret of the appliance must not reach it, and a VLLM_…
variable of the operator's shell must not change what was planned (VLLM_CPU_KVCACHE_SPACE overrides the KV bytes)."""

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
    # vLLM finds its own address by opening a socket towards a public name server, unless it is told.
    "VLLM_HOST_IP": "127.0.0.1",
}
PLAIN_PYTHON = {"NO_COLOR": "1", "PYTHONNOUSERSITE": "1", "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
"""PYTHONSAFEPATH: `python -m` would put the working directory before vLLM's own packages."""

QUIET_PATHS = ",".join(("/health", "/metrics", *Endpoint))
"""One log line per request would fill the disk of an appliance that runs for months."""

NO_MEDIA_DOMAIN = "none.invalid"
"""The only domain that media may come from, and there is none of this name: images stand in the body (RFC 2606)."""

STRUCTURED_OUTPUTS = {"backend": "xgrammar", "disable_any_whitespace": True}
"""A small model that may put free white space into its JSON can spend all its tokens on it. vLLM takes the option
only with a named backend."""


KEY_ON_EVERY_ROUTE = "appliance_key.ApplianceKey"
"""vLLM's own check leaves out all routes that are not below /v1 (see `in_engine/appliance_key.py`)."""


@dataclass(frozen=True, slots=True)
class EngineCommand:
    """A process to start. `environment` is the whole environment, not an addition."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]

    def __repr__(self) -> str:
        """Without the environment, which holds the key."""
        return f"EngineCommand({' '.join(self.argv)!r})"


def engine_command(
    spec: EngineSpec,
    *,
    python: str,
    in_engine: str,
    cache_dir: str,
    environment: Mapping[str, str],
    api_key: str,
    drain_timeout_s: float,
) -> EngineCommand:
    """vLLM's OpenAI server for `spec`; on a node of a group that is not its leader, the workers below that server.

    `python` is the interpreter of vLLM's environment, `in_engine` the directory of what vLLM is to import of ours, and
    `cache_dir` one for everything that vLLM compiles and caches (all absolute). `environment` is the appliance's own,
    of which a short list is passed on. The key goes through the environment, because a command line can be read by
    every user of the machine.
    """
    argv = (python, "-m", *_module(spec), *_options(spec, drain_timeout_s))
    ours = {"PYTHONPATH": in_engine, "VLLM_API_KEY": api_key}
    return EngineCommand(argv, _environment(spec, python, cache_dir, environment) | ours)


def _module(spec: EngineSpec) -> tuple[str, ...]:
    """vLLM's server, or its command line where that alone knows of workers without a server; and the model."""
    if spec.group is None or spec.group.rank == 0:
        return ("vllm.entrypoints.openai.api_server", "--model", str(spec.model_path))
    return ("vllm.entrypoints.cli.main", "serve", str(spec.model_path), "--headless")


def _options(spec: EngineSpec, drain_timeout_s: float) -> tuple[str, ...]:
    options = [
        *("--served-model-name", spec.model_id),
        *("--host", spec.host),
        *("--port", str(spec.port)),
        *("--dtype", spec.dtype),
        *("--max-model-len", str(spec.max_model_len)),
        *("--max-num-seqs", str(spec.max_num_seqs)),
        *("--max-num-batched-tokens", str(spec.max_num_batched_tokens)),
        *("--kv-cache-memory-bytes", str(spec.kv_cache_memory_bytes)),
        *("--scheduling-policy", "priority"),
        *("--disable-access-log-for-endpoints", QUIET_PATHS),
        # With 0, vLLM's default, a stop while requests are in flight may hang for ever.
        *("--shutdown-timeout", str(max(1, ceil(drain_timeout_s)))),
        *("--middleware", KEY_ON_EVERY_ROUTE),
        "--enable-prompt-tokens-details",
        "--disable-fastapi-docs",
        *("--allowed-media-domains", NO_MEDIA_DOMAIN),
        *_task_options(spec),
    ]
    if spec.device is Device.CUDA:
        # Even with pinned KV bytes vLLM refuses to start when this share of the GPU's memory is not free.
        options += ["--gpu-memory-utilization", f"{spec.gpu_memory_utilization:g}"]
        options += ["--tensor-parallel-size", str(spec.tensor_parallel_size)]
        options += ["--pipeline-parallel-size", str(spec.pipeline_parallel_size)] * (spec.pipeline_parallel_size > 1)
        options += ["--enable-sleep-mode"] if spec.sleep_level > 0 else []
    if spec.group is not None:
        options += ["--nnodes", str(spec.group.nodes), "--node-rank", str(spec.group.rank)]
        options += ["--master-addr", spec.group.leader, "--master-port", str(spec.group.port)]
        options += ["--distributed-executor-backend", "mp"]
    if spec.enforce_eager or spec.device is Device.CPU:
        # On the CPU compilation costs half a minute of start-up and gains little.
        options.append("--enforce-eager")
    return (*options, *spec.extra_args)


def _task_options(spec: EngineSpec) -> list[str]:
    """What makes it an engine of its kind; vLLM tells by the model's architecture how it embeds or scores."""
    if spec.task is not EngineTask.GENERATE:
        return ["--runner", "pooling"]
    options = ["--structured-outputs-config", json.dumps(STRUCTURED_OUTPUTS)]
    if spec.tool_parser is not None:
        options += ["--enable-auto-tool-choice", "--tool-call-parser", spec.tool_parser]
    if spec.reasoning_parser is not None:
        options += ["--reasoning-parser", spec.reasoning_parser]
    return options


def _environment(spec: EngineSpec, python: str, cache_dir: str, parent: Mapping[str, str]) -> dict[str, str]:
    passed = {k: v for k, v in parent.items() if k in PASSED_ON or k.startswith(PASSED_ON_PREFIXES)}
    # Tools that come with vLLM's environment (ninja for kernels compiled at run time) stand beside its interpreter.
    path = {"PATH": ":".join(filter(None, (python.rpartition("/")[0], passed.get("PATH", ""))))}
    # Nodes of a group find each other by the address that the engine listens on.
    group = {} if spec.group is None else {"VLLM_HOST_IP": spec.host}
    return passed | path | OFFLINE | PLAIN_PYTHON | _caches(cache_dir) | _device(spec) | group


def _caches(cache_dir: str) -> dict[str, str]:
    below = {
        "CUDA_CACHE_PATH": "cuda",
        "FLASHINFER_WORKSPACE_BASE": "flashinfer",
        "HF_HOME": "huggingface",
        "TORCHINDUCTOR_CACHE_DIR": "inductor",
        "TRITON_CACHE_DIR": "triton",
        "VLLM_CACHE_ROOT": "vllm",
        "VLLM_CONFIG_ROOT": "vllm-config",
        "XDG_CACHE_HOME": "xdg",
    }
    return {variable: f"{cache_dir}/{name}" for variable, name in below.items()}


def _device(spec: EngineSpec) -> dict[str, str]:
    if spec.device is Device.CUDA:
        # vLLM has /sleep and /wake_up only among its development routes, for which it asks no key itself.
        routes = {"VLLM_SERVER_DEV_MODE": "1"} if spec.sleep_level > 0 else {}
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(spec.gpu_ids)} | routes
    return {
        "CUDA_VISIBLE_DEVICES": "",
        # `--enforce-eager` leaves a few functions to be compiled at their first use: the first call that asked for
        # logprobs, which is the first verdict, held up its engine for up to twenty seconds.
        "TORCHDYNAMO_DISABLE": "1",
        "OMP_NUM_THREADS": str(spec.cpu_threads),
        # `auto` would bind all engines to the same cores.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        # One process fewer: 400 MB and ten seconds of imports per engine.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }
