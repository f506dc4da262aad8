"""What a trained head is worth, as terminal tables."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_TITLES = {
    "held_out": "On paper: the head's choices on all held-out tasks, by their logged outcomes",
    "live": "At work: `auto` beside the fixed strategies, interleaved, through the running appliance",
}


def render(document: dict[str, Any]) -> RenderableType:
    """The gate, both comparisons with their figures, and the single model at equal GPU-seconds."""
    gate = document["gate"]
    parts: list[RenderableType] = [Text(f"gate: {gate['answer']}. {'; '.join(gate['reasons'])}")]
    for part, title in _TITLES.items():
        parts += [_ways(title, document[part]), _figures(document[part])]
    return Group(*parts, _single(document["comparison"]))


def _ways(title: str, worth: dict[str, Any]) -> Table:
    table = Table(title=f"{title} ({worth['tasks']} tasks)")
    table.add_column("way", no_wrap=True)
    for name in ("right", "95% interval", "GPU-s", "reward", "chosen is ahead by", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for way, found in worth["ways"].items():
        quality, against = found["quality"], worth["reward_of_chosen_less_fixed"].get(way)
        ahead = (f"{against['mean']:+.3f}", f"{against['p_value']:.2g}") if against else ("", "")
        interval = f"{100 * quality['low']:.1f}–{100 * quality['high']:.1f}"
        numbers = (f"{found['gpu_seconds_per_task']:.3f}", f"{found['reward']:.3f}")
        table.add_row(way, f"{100 * quality['mean']:.1f}%", interval, *numbers, *ahead)
    return table


def _figures(worth: dict[str, Any]) -> Table:
    table = Table(title="Figures to reach", title_justify="left")
    for name in ("figure", "found", "wanted", ""):
        table.add_column(name, no_wrap=True)
    for figure in worth["figures"]:
        reached = "[green]reached[/]" if figure["reached"] else "[red]missed[/]"
        table.add_row(figure["what"], f"{figure['found']:.4g}", figure["wanted"], reached)
    return table


def _single(comparison: dict[str, Any]) -> Table:
    """The rows of the report over all tasks."""
    table = Table(title="The same in the report: single models at equal GPU-seconds stand as MODEL@=TARGET")
    table.add_column("target", no_wrap=True)
    for name in ("right", "GPU-s", "tokens", "p95 s"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in comparison["rows"]:
        if row["class"] == "all tasks":
            numbers = (
                f"{row['gpu_seconds_per_task']:.3f}",
                f"{row['tokens_per_task']:.0f}",
                f"{row['seconds_p95']:.2f}",
            )
            table.add_row(row["target"], f"{100 * row['quality']['mean']:.1f}%", *numbers)
    return table
