"""EngineSpec → command line and environment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePath

from appliance.domain.endpoint import Endpoint, EngineTask
from appliance.domain.engine import Device, EngineGroup, EngineSpec
from appliance.engines import in_engine
from appliance.engines.command import EngineCommand, engine_command
from appliance.engines.in_engine import appliance_key

CPU = EngineSpec(
    engine_id="starter-math-0",
    model_id="starter-math",
    model_path=PurePath("/store/starter-math"),
    device=Device.CPU,
    port=8101,
    max_model_len=768,
    max_num_seqs=16,
    max_num_batched_tokens=1024,
    kv_cache_memory_bytes=33_554_432,
    cpu_threads=2,
    extra_args=("--seed", "7"),
)
CUDA = replace(CPU, device=Device.CUDA, gpu_ids=("0", "GPU-1"), tensor_parallel_size=2, gpu_memory_utilization=0.45)
PARENT = {
    "PATH": "/usr/bin",
    "HOME": "/home/me",
    "CUDA_VISIBLE_DEVICES": "5",
    "NVIDIA_VISIBLE_DEVICES": "all",
    "VLLM_CPU_KVCACHE_SPACE": "4",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "HF_TOKEN": "secret",
    "HF_ENDPOINT": "https://elsewhere.example",
    "HTTPS_PROXY": "http://proxy.example:3128",
    "VLLM_USE_MODELSCOPE": "1",
    "HF_HUB_OFFLINE": "0",
    "PYTHONPATH": "/elsewhere",
}


def command(spec: EngineSpec) -> EngineCommand:
    return engine_command(
        spec,
        python="/engine/bin/python",
        in_engine="/appliance/in_engine",
        cache_dir="/data/cache",
        environment=PARENT,
        api_key="the-key",
        drain_timeout_s=9.5,
    )


def option(made: EngineCommand, name: str) -> str:
    return made.argv[made.argv.index(name) + 1]


def test_parsers_of_the_model_are_named() -> None:
    made = command(replace(CPU, tool_parser="hermes", reasoning_parser="qwen3"))
    assert option(made, "--tool-call-parser") == "hermes"
    assert "--enable-auto-tool-choice" in made.argv
    assert option(made, "--reasoning-parser") == "qwen3"
    assert not {"--enable-auto-tool-choice", "--reasoning-parser"} & set(command(CPU).argv)


def test_engines_that_embed_or_score_are_told_so_and_know_no_grammar() -> None:
    for task in (EngineTask.EMBED, EngineTask.RERANK):
        made = command(replace(CPU, task=task, tool_parser="hermes"))
        assert option(made, "--runner") == "pooling"
        assert not {"--structured-outputs-config", "--tool-call-parser"} & set(made.argv)
    assert "--runner" not in command(CPU).argv


def test_engines_fetch_no_media_and_keep_no_log_of_calls() -> None:
    made = command(CPU)
    assert option(made, "--allowed-media-domains").endswith(".invalid")
    assert made.environment["VLLM_MEDIA_URL_ALLOW_REDIRECTS"] == "0"
    quiet = option(made, "--disable-access-log-for-endpoints").split(",")
    assert {"/health", "/metrics", *Endpoint} == set(quiet)


def test_cpu_command_line() -> None:
    made = command(CPU)
    assert made.argv[:3] == ("/engine/bin/python", "-m", "vllm.entrypoints.openai.api_server")
    assert option(made, "--model") == "/store/starter-math"
    assert option(made, "--served-model-name") == "starter-math"
    assert option(made, "--kv-cache-memory-bytes") == "33554432"
    assert option(made, "--shutdown-timeout") == "10"
    assert "--enforce-eager" in made.argv
    assert "--gpu-memory-utilization" not in made.argv
    assert made.argv[-2:] == ("--seed", "7")


def test_a_group_of_nodes_has_one_server_and_workers_below_it() -> None:
    group = EngineGroup(nodes=2, rank=0, leader="big-0.big", port=29500)
    leader = command(replace(CUDA, pipeline_parallel_size=2, host="10.0.0.7", group=group))
    assert leader.argv[2] == "vllm.entrypoints.openai.api_server"
    member = command(replace(CUDA, pipeline_parallel_size=2, host="10.0.0.8", group=replace(group, rank=1)))
    assert member.argv[2:6] == ("vllm.entrypoints.cli.main", "serve", str(CUDA.model_path), "--headless")
    assert "--model" not in member.argv
    for made, rank, host in ((leader, "0", "10.0.0.7"), (member, "1", "10.0.0.8")):
        said = [option(made, name) for name in ("--nnodes", "--node-rank", "--master-addr", "--master-port")]
        assert said == ["2", rank, "big-0.big", "29500"]
        assert option(made, "--pipeline-parallel-size") == "2"
        assert made.environment["VLLM_HOST_IP"] == host
    assert "--nnodes" not in command(CUDA).argv


def test_cuda_command_line() -> None:
    made = command(CUDA)
    assert option(made, "--gpu-memory-utilization") == "0.45"
    assert option(made, "--tensor-parallel-size") == "2"
    assert "--enforce-eager" not in made.argv
    assert made.environment["CUDA_VISIBLE_DEVICES"] == "0,GPU-1"
    assert "--enforce-eager" in command(replace(CUDA, enforce_eager=True)).argv


def test_sleep_mode_comes_with_its_routes_and_only_where_it_is_wanted() -> None:
    sleeping = command(replace(CUDA, turn_group="g", sleep_level=1))
    assert "--enable-sleep-mode" in sleeping.argv
    assert sleeping.environment["VLLM_SERVER_DEV_MODE"] == "1"
    for awake in (command(replace(CUDA, turn_group="g")), command(CPU)):
        assert "--enable-sleep-mode" not in awake.argv
        assert "VLLM_SERVER_DEV_MODE" not in awake.environment


def test_the_key_is_in_the_environment_alone() -> None:
    made = command(CPU)
    assert made.environment["VLLM_API_KEY"] == "the-key"
    assert not any("the-key" in part for part in made.argv)
    assert "the-key" not in repr(made)


def test_the_key_is_asked_for_on_every_route_by_what_is_imported_of_ours_alone() -> None:
    made = command(CPU)
    module, _, name = option(made, "--middleware").rpartition(".")
    assert Path(in_engine.__file__).with_name(f"{module}.py").exists()
    assert hasattr(appliance_key, name)
    assert made.environment["PYTHONPATH"] == "/appliance/in_engine"


def test_the_environment_is_offline_and_holds_nothing_of_the_parents_secrets() -> None:
    environment = command(CPU).environment
    assert "secret" not in environment.values()
    assert "VLLM_CPU_KVCACHE_SPACE" not in environment
    assert environment["PATH"] == "/engine/bin:/usr/bin"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert environment["TORCHDYNAMO_DISABLE"] == "1"
    assert (environment["OMP_NUM_THREADS"], environment["VLLM_CPU_OMP_THREADS_BIND"]) == ("2", "nobind")
    for variable in (
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "VLLM_NO_USAGE_STATS",
        "VLLM_DO_NOT_TRACK",
        "DO_NOT_TRACK",
    ):
        assert environment[variable] == "1"
    assert environment["VLLM_MEDIA_URL_ALLOW_REDIRECTS"] == "0"
    assert environment["VLLM_HOST_IP"] == "127.0.0.1"
    assert not {"VLLM_USE_MODELSCOPE", "HF_ENDPOINT", "HTTPS_PROXY"} & environment.keys()
    assert "--trust-remote-code" not in command(CPU).argv
    for variable in ("HF_HOME", "VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "XDG_CACHE_HOME"):
        assert environment[variable].startswith("/data/cache/")
