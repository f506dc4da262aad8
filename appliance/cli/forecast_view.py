"""A forecast as a small table for the terminal. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

_FIGURES = (("calls", "calls", ".1f"), ("tokens", "tokens", ",.0f"), ("seconds", "seconds", ".2f"))
_GPU = ("gpu_s", "GPU seconds", ".2f")
MIB = 2**20


def render(forecast: Mapping[str, Any]) -> Group:
    """The document of `POST /v1/plan`: how it would be answered, by whom, and what that takes."""
    headline = Text.assemble("would be answered by ", (forecast["strategy"], "bold"))
    because = Text("; ".join(forecast["reasons"]), "dim")
    left_out = [
        Text.assemble(("smaller plan: ", "bold yellow"), f"{left['step']} ({left['reason']})")
        for left in forecast["reduced"]
    ]
    return Group(headline, because, *left_out, _calls(forecast), _spreads(forecast), *_rest(forecast))


def _calls(forecast: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("role")
    table.add_column("model")
    for name in ("calls", "tokens in", "tokens out", "seconds each"):
        table.add_column(name, justify="right")
    for call in forecast["by_call"]:
        table.add_row(
            call["role"],
            call["model_id"],
            f"{call['calls']:.1f}",
            f"{call['prompt_tokens']:.0f}",
            f"{call['completion_tokens']:.0f}",
            f"{call['seconds']:.2f}",
        )
    return table


def _spreads(forecast: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("in all")
    table.add_column("half stay below", justify="right")
    table.add_column("95% stay below", justify="right")
    for key, name, form in (*_FIGURES, _GPU):
        spread = forecast[key]
        table.add_row(name, format(spread["p50"], form), format(spread["p95"], form))
    return table


def _rest(forecast: Mapping[str, Any]) -> list[Text]:
    memory = "" if forecast["kv_bytes"] is None else f" ({forecast['kv_bytes'] / MIB:,.1f} MiB)"
    lines = [f"KV cache: about {forecast['kv_tokens']:,} tokens at once{memory}"]
    if forecast["queue_s"] >= 0.01:
        lines.append(f"{forecast['queue_s']:.2f} s of it in the queue as it is now")
    return [Text(line, "dim") for line in (*lines, forecast["basis"])]
