"""Plots as SVG text: quality against cost, with intervals. Pure; nothing is loaded from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor
from typing import Final

from appliance.plots.frame import Frame, colour, frame

_LABEL_PX: Final = 14


@dataclass(frozen=True, slots=True)
class Point:
    """One target: GPU-seconds per task across, quality up, with its interval. `orchestrated` ones are squares."""

    name: str
    x: float
    y: float
    low: float
    high: float
    orchestrated: bool


def frontier(points: Sequence[Point]) -> frozenset[str]:
    """Names of the targets that no other one beats in quality at the same cost or less."""
    return frozenset(
        p.name for p in points if not any(q.x <= p.x and q.y >= p.y and (q.x, q.y) != (p.x, p.y) for q in points)
    )


def quality_against_cost(points: Sequence[Point]) -> str:
    """A scatter plot with a line through the frontier. Empty text without points."""
    if not points:
        return ""
    most_x = max(p.x for p in points) or 1.0
    low_y = min(0.9, max(0.0, floor(min(p.low for p in points) * 10) / 10))
    ground = frame((0.0, most_x * 1.08), (low_y, 1.0))
    parts = [*ground.grid("GPU-seconds per task", up=lambda value: f"{value:.0%}"), *_line(points, ground)]
    parts += [text for index, p in enumerate(points) for text in _mark(p, colour(index), ground)]
    parts += _labels(points, ground)
    return ground.drawn(parts, "quality against GPU-seconds per task")


def _line(points: Sequence[Point], ground: Frame) -> list[str]:
    best = frontier(points)
    corners = sorted((p.x, p.y) for p in points if p.name in best)
    if len(corners) < 2:
        return []
    path = " ".join(f"{ground.across.at(x):.1f},{ground.up.at(y):.1f}" for x, y in corners)
    return [f'<polyline points="{path}" class="frontier"/>']


def _mark(point: Point, ink: str, ground: Frame) -> list[str]:
    x, y = ground.across.at(point.x), ground.up.at(point.y)
    bar = (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{ground.up.at(point.low):.1f}" y2="{ground.up.at(point.high):.1f}" '
        f'stroke="{ink}" stroke-width="1.5"/>'
    )
    if point.orchestrated:
        return [bar, f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" fill="{ink}"/>']
    return [bar, f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{ink}"/>']


def _labels(points: Sequence[Point], ground: Frame) -> list[str]:
    """Beside each mark, on the side with more room; moved apart where two would lie on each other."""
    placed: list[tuple[bool, float, float]] = []
    parts = []
    for point in sorted(points, key=lambda p: -p.y):
        x, y = ground.across.at(point.x), ground.up.at(point.y) + 4
        right = x < ground.right * 0.6
        while any(side == right and abs(px - x) < 240 and abs(py - y) < _LABEL_PX for side, px, py in placed):
            y += _LABEL_PX
        placed.append((right, x, y))
        anchor, shift = ("start", 10) if right else ("end", -10)
        parts.append(
            f'<text x="{x + shift:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="name">{escape(point.name)}</text>'
        )
    return parts
