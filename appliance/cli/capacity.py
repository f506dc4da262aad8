"""`appliance capacity`: profile the engines that run, so that capacity can be planned with measured figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter
from rich.console import Console

from appliance import errors
from appliance.bench.connection import Target
from appliance.bootstrap.pool import pool_models
from appliance.capacity.engine_profile import EngineProfile, Source, StepCost
from appliance.capacity.profile import Profile
from appliance.capacity.profile_file import save_profile
from appliance.capacity.profiling import PROCESSOR, Effort, Profiler, Subject
from appliance.capacity.role_fields import fields_by_model
from appliance.capacity.tree_sampling import trees_of, with_shared_prompts
from appliance.cli import capacity_advise
from appliance.cli.capacity_view import profile_lines
from appliance.cli.connection import Connection, locate
from appliance.cli.options import ConfigOption, KeyFileOption, UrlOption, settings_of
from appliance.config import Settings
from appliance.domain.engine import EngineState
from appliance.domain.trace import Trace
from appliance.engines.version import installed_version
from appliance.evaluation.run_file import read_run

commands = typer.Typer(help="Profiles of engines and requests, and advice on what to buy.", no_args_is_help=True)
commands.command("advise")(capacity_advise.advise)

_TRACE = TypeAdapter(Trace)
_UNMEASURED = StepCost(1e-3, 0.0, 0.0, 0.0, 0.0, 0.0)
_CPU_BLOCK, _GPU_BLOCK = 128, 16
"""vLLM's usual sizes of a KV block."""
_PAGE = 200
_PERIODS = 1.5
"""After so many times the time between two looks at the engines, the fleet tells what was before."""


@commands.callback()
def capacity() -> None:
    """Profiles of engines and requests, and advice on what to buy."""


@commands.command()
def profile(
    out: Annotated[Path, typer.Option(help="File of the profile.")] = Path("var/profile.json"),
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be repeated.")] = None,
    loads: Annotated[int, typer.Option(min=8, max=200, help="Loads that each engine is measured under.")] = 28,
    repeats: Annotated[int, typer.Option(min=1, max=20, help="Times that each load is measured.")] = 3,
    minutes: Annotated[float, typer.Option(min=0.5, help="Longest time for one engine.")] = 10.0,
    traces: Annotated[int, typer.Option(min=0, max=10_000, help="Newest traces to take request trees from.")] = 400,
    run: Annotated[
        Path | None, typer.Option("--eval", help="Run file of `appliance eval run`: trees of its requests instead.")
    ] = None,
    hardware: Annotated[str | None, typer.Option(help="Name of what the engines run on. Default: cpu or gpu.")] = None,
    block_size: Annotated[int | None, typer.Option(min=1, help="Tokens of a KV block. Default: vLLM's.")] = None,
    start_seconds: Annotated[float, typer.Option(min=0, help="What an engine takes to start.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Decides the order of the loads.")] = 0,
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Measure the engines of the running appliance, and take request trees from its traces. Other load disturbs it."""
    settings = settings_of(config)
    connection = locate(config, url, key_file)
    fleet = connection.get("/fleet")["engines"]
    subjects = _subjects(settings, fleet, model or (), hardware, block_size, start_seconds)
    console = Console(stderr=True)
    with console.status("reading traces") as status:
        wanted = _trace_ids(connection, traces) if run is None else _trace_ids_of(run)
        kept = _fitting([_trace(connection, name) for name in wanted], subjects, only_some=bool(model))
        fields = fields_by_model(kept)
        subjects = [replace(subject, fields=fields.get(subject.engine.model_id, {})) for subject in subjects]
        target = Target(connection.url, connection.api_key, connection.certificate)
        effort = Effort(loads, repeats, minutes * 60, seed, _PERIODS * settings.engines.sample_every_s)
        cpu_s, trace_s = partial(_server_cpu_s, connection), partial(_trace_s, connection)
        profiler = Profiler(target, effort, status.update, trace_s, cpu_s)
        engines = asyncio.run(profiler.profiles(subjects))
    found = with_shared_prompts(trees_of(kept, profiler.door_s))
    origin = f"traces of {connection.url}" if run is None else f"{run}, requests to {connection.url}"
    made = Profile(engines, found, f"engines of {connection.url}; requests: {origin}", time.time())
    save_profile(made, out)
    for line in profile_lines(made):
        typer.echo(line)
    typer.echo(f"{out}", err=True)


def _subjects(
    settings: Settings,
    fleet: Sequence[Mapping[str, Any]],
    wanted: Sequence[str],
    hardware: str | None,
    block_size: int | None,
    start_s: float,
) -> list[Subject]:
    """One engine of each model, as the configuration and the fleet describe it."""
    models = pool_models(settings)
    if strange := sorted(set(wanted) - set(models)):
        raise errors.ConfigError(
            f"--model {strange[0]}: not in the pool of {settings.source}; it has {', '.join(models)}"
        )
    subjects = []
    for member in settings.pool:
        if wanted and member.model not in wanted:
            continue
        ready = [e for e in fleet if e["model_id"] == member.model and e["state"] == EngineState.READY.value]
        if not ready:
            raise errors.EngineUnavailable(f"no engine of {member.model} is ready; see `appliance status`")
        shown, on_cpu = ready[0], not ready[0]["gpu_ids"]
        if shown["kv_tokens"] is None:
            raise errors.EngineUnavailable(f"{shown['engine_id']}: its KV cache is not known yet; try again in 10 s")
        engine = EngineProfile(
            model_id=member.model,
            revision=models[member.model].revision,
            hardware=hardware or ("cpu" if on_cpu else "gpu"),
            vllm_version=installed_version(settings.engines.python) or "unknown",
            step=_UNMEASURED,
            kv_tokens=shown["kv_tokens"],
            block_size=block_size or (_CPU_BLOCK if on_cpu else _GPU_BLOCK),
            max_num_seqs=shown["max_num_seqs"],
            max_num_batched_tokens=member.engine.max_num_batched_tokens,
            max_model_len=shown["max_model_len"],
            source=Source.UNMEASURED,
            tensor_parallel_size=max(1, len(shown["gpu_ids"])),
            start_s=start_s,
        )
        device = ",".join(shown["gpu_ids"]) or PROCESSOR
        subjects.append(Subject(engine, device, threads=member.engine.cpu_threads))
    return subjects


def _fitting(traces: Sequence[Trace], subjects: Sequence[Subject], *, only_some: bool) -> list[Trace]:
    """Traces that call profiled models only; others are an error, unless only some models are to be profiled."""
    known = {subject.engine.model_id for subject in subjects}
    strange = {call.model_id for trace in traces for call in trace.calls} - known
    if strange and not only_some:
        raise errors.ConfigError(
            f"these are traces of another pool: they call {', '.join(sorted(strange))}; "
            "take fewer of them with --traces, or name a run of this pool with --eval"
        )
    return [trace for trace in traces if all(call.model_id in known for call in trace.calls)]


def _trace_ids(connection: Connection, most: int) -> list[str]:
    """Of the newest traces."""
    found: list[str] = []
    cursor = ""
    while len(found) < most:
        page = connection.get(f"/v1/traces?outcome=ok&limit={min(_PAGE, most - len(found))}{cursor}")
        found += [line["trace_id"] for line in page["data"]]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    return found


def _trace_ids_of(run: Path) -> list[str]:
    found = [attempt.trace_id for attempt in read_run(run).attempts if attempt.trace_id and not attempt.error]
    if not found:
        raise errors.ConfigError(f"{run}: no attempt in it has a trace; take request trees from --traces")
    return found


def _trace(connection: Connection, trace_id: str) -> Trace:
    return _TRACE.validate_json(connection.read(f"/v1/traces/{trace_id}"))


def _server_cpu_s(connection: Connection) -> dict[str, float]:
    """By model, what the API servers of its engines have computed, as last looked at."""
    found: dict[str, float] = {}
    for engine in connection.get("/fleet")["engines"]:
        if engine["state"] == EngineState.READY.value and engine["server_cpu_s"] is not None:
            found[engine["model_id"]] = found.get(engine["model_id"], 0.0) + engine["server_cpu_s"]
    return found


def _trace_s(connection: Connection, trace_id: str) -> float | None:
    """How long the request of a trace took; None where it is not there (yet)."""
    try:
        return _trace(connection, trace_id).duration_s
    except errors.NotFound:
        return None
