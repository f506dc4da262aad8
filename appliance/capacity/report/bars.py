"""Plots made of bars: GPUs with what lies on them, the calls of a request, what an assumption moves. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isfinite
from typing import Final

from appliance.capacity.sensitivity import Swing
from appliance.capacity.typical import Bar
from appliance.domain.placement import PlacementPlan, PlannedEngine, PlannedGpu
from appliance.plots.axis import Axis
from appliance.plots.frame import WIDTH, colour, picture, plain

GIB: Final = 2**30
_ROW: Final = 34
_NAMES: Final = 190
_LEAST_PX: Final = 48
"""A part that is narrower has no name in it."""


def gpu_map(plan: PlacementPlan) -> str:
    """A bar for each GPU, to scale: weights dark, KV cache lighter, the rest of each engine lightest."""
    models = list(dict.fromkeys(engine.model_id for engine in plan.engines))
    inks = {model_id: colour(number) for number, model_id in enumerate(models)}
    largest = max(gpu.total_bytes for gpu in plan.gpus)
    axis = Axis(0.0, largest, _NAMES, WIDTH - 10)
    parts = []
    for row, gpu in enumerate(plan.gpus):
        parts += _gpu_row(plan, gpu, 8 + row * _ROW, axis, inks)
    for number, (model_id, ink) in enumerate(inks.items()):
        x, y = 10 + (number % 3) * 250, 8 + len(plan.gpus) * _ROW + 14 + (number // 3) * 18
        parts.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{ink}"/>')
        parts.append(f'<text x="{x + 16}" y="{y}" class="name">{escape(model_id)}</text>')
    height = 8 + len(plan.gpus) * _ROW + 18 * (1 + (len(inks) - 1) // 3) + 12
    return picture(parts, "what lies on each GPU", WIDTH, height)


def _gpu_row(plan: PlacementPlan, gpu: PlannedGpu, y: int, axis: Axis, inks: dict[str, str]) -> list[str]:
    end = axis.at(gpu.total_bytes)
    parts = [
        f'<text x="4" y="{y + 16}" class="name">{escape(f"{gpu.node}/{gpu.gpu_id}")}</text>',
        f'<rect x="{axis.start}" y="{y}" width="{end - axis.start:.1f}" height="24" fill="#eef1f4"/>',
    ]
    taken = 0
    for engine in plan.on_gpu(gpu.node, gpu.gpu_id):
        parts += _engine_part(engine, taken, y, axis, inks[engine.model_id])
        taken += engine.booked_bytes
    return parts


def _engine_part(engine: PlannedEngine, taken: int, y: int, axis: Axis, ink: str) -> list[str]:
    """Weights, KV cache and the rest of one engine on one GPU, after `taken` bytes of others."""
    rest = engine.booked_bytes - engine.weights_bytes - engine.kv_cache_memory_bytes
    sizes = ((engine.weights_bytes, 1.0), (engine.kv_cache_memory_bytes, 0.55), (rest, 0.3))
    parts, at = [], taken
    for size, strength in sizes:
        x, width = axis.at(at), axis.at(at + size) - axis.at(at)
        parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="24" fill="{ink}" opacity="{strength}"/>')
        at += size
    said = f"{engine.weights_bytes / GIB:.1f} + {engine.kv_cache_memory_bytes / GIB:.1f} GiB KV"
    parts.append(f"<title>{escape(f'{engine.engine_id}: {said}')}</title>")
    if axis.at(taken + engine.weights_bytes) - axis.at(taken) >= _LEAST_PX:
        size_text = f"{engine.weights_bytes / GIB:.1f} GiB"
        parts.append(f'<text x="{axis.at(taken) + 6:.1f}" y="{y + 16}" class="inside">{size_text}</text>')
    return ["<g>", *parts, "</g>"]


def gantt(bars: Sequence[Bar]) -> str:
    """The calls of a request over time: waiting pale, on the engine full. Empty text without calls."""
    if not bars:
        return ""
    roles = list(dict.fromkeys(bar.role for bar in bars))
    axis = Axis(0.0, max(bar.ended_s for bar in bars) or 1.0, _NAMES + 40, WIDTH - 20)
    row = 24
    bottom = 8 + len(bars) * row
    parts = _scale(axis, bottom)
    for number, bar in enumerate(bars):
        y, ink = 8 + number * row, colour(roles.index(bar.role))
        asked, sent, ended = axis.at(bar.asked_s), axis.at(bar.sent_s), axis.at(bar.ended_s)
        name = escape(f"{bar.role}: {bar.engine_id}")
        parts += [
            f'<text x="4" y="{y + 13}" class="name">{name}</text>',
            f'<rect x="{asked:.1f}" y="{y}" width="{sent - asked:.1f}" height="16" fill="{ink}" opacity="0.25"/>',
            f'<rect x="{sent:.1f}" y="{y}" width="{max(1.0, ended - sent):.1f}" height="16" fill="{ink}"/>',
        ]
    return picture(parts, "the calls of a request over time", WIDTH, bottom + 26)


def tornado(swings: Sequence[Swing], limit_s: float) -> str:
    """For each assumption a bar between the values at its two ends; the limit as a line. Empty text without any."""
    ends = [value for swing in swings for value in (swing.low_s, swing.high_s) if isfinite(value)]
    if not ends:
        return ""
    axis = Axis(0.0, max(*ends, limit_s) * 1.1, _NAMES + 20, WIDTH - 20)
    bottom = 12 + len(swings) * 44
    parts = _scale(axis, bottom)
    for number, swing in enumerate(swings):
        y, low, high = 12 + number * 44, axis.within(swing.low_s), axis.within(swing.high_s)
        left, right = min(low, high), max(low, high)
        parts += [
            f'<text x="4" y="{y + 15}" class="name">{escape(swing.name)}</text>',
            f'<rect x="{left:.1f}" y="{y}" width="{max(2.0, right - left):.1f}" height="20" fill="{colour(0)}"/>',
            f'<text x="{low:.1f}" y="{y + 33}" text-anchor="middle">{escape(swing.low_label)}</text>',
            f'<text x="{high:.1f}" y="{y + 33}" text-anchor="middle">{escape(swing.high_label)}</text>',
        ]
    x = axis.at(limit_s)
    parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="{bottom}" class="limit"/>')
    return picture(parts, "what a wrong assumption moves", WIDTH, bottom + 26)


def _scale(axis: Axis, bottom: float) -> list[str]:
    """Upright lines at round seconds, named below."""
    parts = []
    for value in axis.ticks():
        x = axis.at(value)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom}" class="grid"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{plain(value)} s</text>')
    return parts
