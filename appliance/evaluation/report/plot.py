"""Plots as SVG text: quality against cost, with intervals. Pure; nothing is loaded from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10
from typing import Final

WIDTH: Final = 760
HEIGHT: Final = 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 20, 16, 46
_COLOURS: Final = ("#1f5f8b", "#c8553d", "#3a7d44", "#7b4b94", "#b0851f", "#4f6d7a", "#a23e48", "#2a9d8f")
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
    across = _Axis(0.0, most_x * 1.08, _LEFT, WIDTH - _RIGHT)
    up = _Axis(low_y, 1.0, HEIGHT - _BOTTOM, _TOP)
    parts = [*_grid(across, up), *_line(points, across, up)]
    parts += [text for index, p in enumerate(points) for text in _mark(p, _COLOURS[index % len(_COLOURS)], across, up)]
    parts += _labels(points, across, up)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="quality against GPU-seconds per task" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    """Values from `least` to `most` lie between the pixels `start` and `end`."""

    least: float
    most: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value lies, in pixels."""
        return self.start + (value - self.least) / (self.most - self.least) * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values within it."""
        raw = (self.most - self.least) / count
        unit = 10.0 ** floor(log10(raw))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw)
        first = -(-self.least // step) * step
        return [first + step * i for i in range(count + 2) if first + step * i <= self.most + step * 1e-6]


def _grid(across: _Axis, up: _Axis) -> list[str]:
    bottom = HEIGHT - _BOTTOM
    parts = []
    for value in up.ticks():
        y = up.at(value)
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.0%}</text>')
    for value in across.ticks():
        x = across.at(value)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}" class="axis"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{value:.3g}</text>')
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">GPU-seconds per task</text>')
    parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}" class="axis"/>')
    return parts


def _line(points: Sequence[Point], across: _Axis, up: _Axis) -> list[str]:
    best = frontier(points)
    corners = sorted((p.x, p.y) for p in points if p.name in best)
    if len(corners) < 2:
        return []
    path = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in corners)
    return [f'<polyline points="{path}" class="frontier"/>']


def _mark(point: Point, colour: str, across: _Axis, up: _Axis) -> list[str]:
    x, y = across.at(point.x), up.at(point.y)
    bar = (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{up.at(point.low):.1f}" y2="{up.at(point.high):.1f}" '
        f'stroke="{colour}" stroke-width="1.5"/>'
    )
    if point.orchestrated:
        return [bar, f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" fill="{colour}"/>']
    return [bar, f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>']


def _labels(points: Sequence[Point], across: _Axis, up: _Axis) -> list[str]:
    """Beside each mark, on the side with more room; moved apart where two would lie on each other."""
    placed: list[tuple[bool, float, float]] = []
    parts = []
    for point in sorted(points, key=lambda p: -p.y):
        x, y = across.at(point.x), up.at(point.y) + 4
        right = x < (WIDTH - _RIGHT) * 0.6
        while any(side == right and abs(px - x) < 240 and abs(py - y) < _LABEL_PX for side, px, py in placed):
            y += _LABEL_PX
        placed.append((right, x, y))
        anchor, shift = ("start", 10) if right else ("end", -10)
        parts.append(
            f'<text x="{x + shift:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="name">{escape(point.name)}</text>'
        )
    return parts
