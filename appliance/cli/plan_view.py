"""A plan on the screen: a bar for each GPU, the roles, the rate and what bounds it, and the reasons."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from appliance.domain.placement import PlacementPlan, PlannedEngine, PlannedGpu
from appliance.placement.problem import Problem

GIB = 2**30
WIDTH = 56
COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "red", "bright_cyan", "bright_green", "bright_magenta")
WEIGHTS, KV, REST, KEPT, FREE = "█", "▓", "▒", "╳", "·"
LEGEND = (
    f"{WEIGHTS} weights  {KV} KV cache  {REST} activations, graphs, context  {KEPT} others and reserve  {FREE} free"
)


def picture(console: Console, problem: Problem, plan: PlacementPlan) -> None:
    """Everything, top down."""
    models = list(dict.fromkeys(engine.model_id for engine in plan.engines))
    colours = {model: COLOURS[number % len(COLOURS)] for number, model in enumerate(models)}
    for gpu in plan.gpus:
        console.print(_bar(plan, gpu, colours), soft_wrap=True)
        for engine in plan.on_gpu(gpu.node, gpu.gpu_id):
            console.print(_engine_line(engine, colours[engine.model_id]), soft_wrap=True)
    console.print(Text(LEGEND, "dim"), soft_wrap=True)
    console.print()
    console.print(_roles(problem, plan))
    console.print()
    console.print(_rate(plan), soft_wrap=True)
    for reason in plan.reasons:
        console.print(f"  - {reason}", markup=False, highlight=False, soft_wrap=True)


def differences(console: Console, old: PlacementPlan, new: PlacementPlan) -> None:
    """What starts, stops and changes against a saved plan."""
    before = {engine.place: engine for engine in old.engines}
    after = {engine.place: engine for engine in new.engines}
    console.print()
    changed = [place for place in after if place in before and _settings(after[place]) != _settings(before[place])]
    for verb, places, source in (
        ("stop", [place for place in before if place not in after], before),
        ("start", [place for place in after if place not in before], after),
        ("restart with other settings", changed, after),
    ):
        for place in places:
            console.print(f"{verb} {_place(source[place])}", markup=False, highlight=False, soft_wrap=True)
    kept = len([place for place in after if place in before]) - len(changed)
    console.print(f"{kept} engines stay as they are", markup=False, highlight=False)


def _bar(plan: PlacementPlan, gpu: PlannedGpu, colours: dict[str, str]) -> Text:
    """The GPU's memory to scale; engines that take turns share the part of the largest."""
    parts: list[tuple[int, str, str]] = []
    for engine in plan.on_gpu(gpu.node, gpu.gpu_id):
        colour = colours[engine.model_id]
        if engine.turn_group:
            parts.append((engine.asleep_bytes, REST, colour))
            continue
        rest = engine.booked_bytes - engine.weights_bytes - engine.kv_cache_memory_bytes
        parts += [
            (engine.weights_bytes, WEIGHTS, colour),
            (engine.kv_cache_memory_bytes, KV, colour),
            (rest, REST, colour),
        ]
    taken = plan.taken_bytes(gpu.node, gpu.gpu_id)
    parts.append((taken - sum(size for size, _, _ in parts), WEIGHTS, "white"))
    kept = gpu.used_bytes + gpu.reserve_bytes
    parts += [(gpu.total_bytes - taken - kept, FREE, "dim"), (kept, KEPT, "dim")]
    bar, end, drawn = Text(), 0, 0
    for size, sign, style in parts:
        end += size
        until = round(WIDTH * end / gpu.total_bytes)
        bar.append(sign * (until - drawn), style)
        drawn = until
    head = Text(f"{gpu.node}/{gpu.gpu_id}", "bold")
    return Text.assemble(head, f"  {gpu.name}, {taken / GIB:.1f} of {gpu.total_bytes / GIB:.1f} GiB\n  ▕", bar, "▏")


def _engine_line(engine: PlannedEngine, colour: str) -> Text:
    gib = [f"{size / GIB:.1f}" for size in (engine.weights_bytes, engine.kv_cache_memory_bytes, engine.booked_bytes)]
    more = f", {engine.tensor_parallel_size} GPUs" if engine.tensor_parallel_size > 1 else ""
    more += f", takes turns in {engine.turn_group}" if engine.turn_group else ""
    return Text.assemble(
        "    ",
        ("■ ", colour),
        f"{engine.engine_id}: weights {gib[0]} + KV {gib[1]} ({engine.kv_tokens:,} tokens) = {gib[2]} GiB"
        f" with the rest; max_num_seqs {engine.max_num_seqs}{more}",
    )


def _roles(problem: Problem, plan: PlacementPlan) -> Table:
    """Who plays what, how often it is called per request, and with how many tokens (prompt + answer)."""
    table = Table(box=None, pad_edge=False)
    for heading in ("role", "models", "calls × tokens", "engines"):
        table.add_column(heading, header_style="dim", overflow="fold")
    for role, models in plan.roles:
        demand = problem.demand.of(role)
        calls = f"{demand.calls:g} × ({demand.prompt_tokens} + {demand.completion_tokens})" if demand else "-"
        engines = sum(engine.model_id in models[:1] for engine in plan.engines)
        table.add_row(role, ", then ".join(models), calls, str(engines))
    return table


def _rate(plan: PlacementPlan) -> Text:
    if plan.requests_per_s is None:
        return Text("No demand was given, so nothing bounds the rate.")
    wanted = f", {plan.wanted_per_s:g} wanted" if plan.wanted_per_s is not None else ""
    return Text.assemble(
        ("Sustained: ", "bold"),
        f"about {plan.requests_per_s:.2f} whole requests/s (roofline estimate{wanted}); bottleneck {plan.bottleneck}",
    )


def _settings(engine: PlannedEngine) -> tuple[object, ...]:
    return engine.kv_cache_memory_bytes, engine.max_model_len, engine.max_num_seqs, engine.turn_group


def _place(engine: PlannedEngine) -> str:
    gpus = ", ".join(f"{engine.node}/{gpu}" for gpu in engine.gpu_ids)
    return f"{engine.model_id} on {gpus} (KV cache {engine.kv_cache_memory_bytes / GIB:.1f} GiB)"
