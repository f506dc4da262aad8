"""Lines with a band around them, and a limit that they should stay below: latency against rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite

from appliance.plots.frame import Frame, Words, colour, frame, plain

_LABEL_PX = 14


@dataclass(frozen=True, slots=True)
class Spot:
    """A point of a line, with the ends of its interval."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Line:
    """Points from left to right. `measured` ones are drawn through, others dashed."""

    name: str
    spots: tuple[Spot, ...]
    measured: bool = True


@dataclass(frozen=True, slots=True)
class Mark:
    """A value that is to be seen in the plot, with its name: a limit, or where one stands today."""

    name: str
    value: float


def line_chart(
    lines: Sequence[Line],
    across_label: str,
    up_label: str,
    *,
    limit: Mark | None = None,
    here: Mark | None = None,
    top: float | None = None,
    up: Words = plain,
) -> str:
    """All lines from 0 on. `limit` lies across, `here` upright; what is higher than `top` is cut off there.

    Empty text without points.
    """
    spots = [spot for line in lines for spot in line.spots]
    if not spots:
        return ""
    heights = [y for spot in spots for y in (spot.y, spot.high) if isfinite(y)]
    most_y = max([*heights, limit.value if limit else 0.0], default=0.0) or 1.0
    most_x = max([*(spot.x for spot in spots), here.value if here else 0.0]) or 1.0
    ground = frame((0.0, most_x * 1.04), (0.0, min(most_y * 1.06, top) if top else most_y * 1.06))
    parts = ground.grid(across_label, up=up)
    for number, line in enumerate(lines):
        parts += _drawn(line, colour(number), ground)
    parts += _marks(ground, limit, here)
    parts += _names(lines, ground)
    return ground.drawn(parts, f"{up_label} against {across_label}")


def _drawn(line: Line, ink: str, ground: Frame) -> list[str]:
    """The band, the line, and a dot for each point that is within the plot."""
    along = [(ground.across.at(s.x), s) for s in line.spots]
    upper = [f"{x:.1f},{ground.up.within(s.high):.1f}" for x, s in along]
    lower = [f"{x:.1f},{ground.up.within(s.low):.1f}" for x, s in reversed(along)]
    middle = " ".join(f"{x:.1f},{ground.up.within(s.y):.1f}" for x, s in along)
    dash = "" if line.measured else ' stroke-dasharray="6 4"'
    dots = [
        f'<circle cx="{x:.1f}" cy="{ground.up.at(s.y):.1f}" r="3" fill="{ink}"/>'
        for x, s in along
        if s.y <= ground.up.most
    ]
    return [
        f'<polygon points="{" ".join((*upper, *lower))}" fill="{ink}" opacity="0.14"/>',
        f'<polyline points="{middle}" fill="none" stroke="{ink}" stroke-width="2"{dash}/>',
        *dots,
    ]


def _marks(ground: Frame, limit: Mark | None, here: Mark | None) -> list[str]:
    parts = []
    if limit is not None and limit.value <= ground.up.most:
        y = ground.up.at(limit.value)
        parts.append(
            f'<line x1="{ground.left}" x2="{ground.right}" y1="{y:.1f}" y2="{y:.1f}" class="limit"/>'
            f'<text x="{ground.right}" y="{y - 5:.1f}" text-anchor="end" class="name">{escape(limit.name)}</text>'
        )
    if here is not None:
        x = ground.across.at(here.value)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{ground.bottom}" y2="{ground.up.end}" class="here"/>'
            f'<text x="{x + 5:.1f}" y="{ground.bottom - 6:.1f}" class="name">{escape(here.name)}</text>'
        )
    return parts


def _names(lines: Sequence[Line], ground: Frame) -> list[str]:
    """Which line is which, in the upper left corner."""
    parts = []
    for number, line in enumerate(lines):
        x, y = ground.left + 12, ground.up.end + 14 + _LABEL_PX * number
        parts.append(
            f'<rect x="{x}" y="{y - 8:.1f}" width="10" height="10" fill="{colour(number)}"/>'
            f'<text x="{x + 16}" y="{y + 1:.1f}" class="name">{escape(line.name)}</text>'
        )
    return parts
