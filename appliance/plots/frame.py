"""The ground that a plot is drawn on: its size, its two axes, grid and labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import Final

from appliance.plots.axis import Axis

WIDTH: Final = 760
HEIGHT: Final = 380
COLOURS: Final = ("#1f5f8b", "#c8553d", "#3a7d44", "#7b4b94", "#b0851f", "#4f6d7a", "#a23e48", "#2a9d8f")
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 20, 16, 46
_LARGEST: Final = 1e9
"""Larger numbers are written with an exponent."""

Words = Callable[[float], str]
"""How a value on an axis is written."""


def plain(value: float) -> str:
    """Three digits that count, large numbers in full; what has no end is ∞."""
    if not isfinite(value):
        return "∞"
    short = f"{value:.3g}"
    return f"{float(short):,.0f}" if 1000 <= abs(float(short)) < _LARGEST else short


def colour(number: int) -> str:
    """Of the n-th thing in a plot; they come again after a while."""
    return COLOURS[number % len(COLOURS)]


@dataclass(frozen=True, slots=True)
class Frame:
    """`across` goes to the right, `up` from the bottom to the top; pixels."""

    across: Axis
    up: Axis
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def left(self) -> float:
        """Where the plot begins."""
        return self.across.start

    @property
    def right(self) -> float:
        """Where it ends."""
        return self.across.end

    @property
    def bottom(self) -> float:
        """Where it stands."""
        return self.up.start

    def grid(self, across_label: str, across: Words = plain, up: Words = plain) -> list[str]:
        """Lines and figures for both axes, and what goes across."""
        parts = []
        for value in self.up.ticks():
            y = self.up.at(value)
            parts.append(f'<line x1="{self.left}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
            parts.append(f'<text x="{self.left - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(up(value))}</text>')
        for value in self.across.ticks():
            x, text = self.across.at(value), escape(across(value))
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{self.bottom}" y2="{self.bottom + 4}" class="axis"/>'
                f'<text x="{x:.1f}" y="{self.bottom + 18}" text-anchor="middle">{text}</text>'
            )
        middle = (self.left + self.right) / 2
        parts.append(f'<text x="{middle}" y="{self.height - 8}" text-anchor="middle">{escape(across_label)}</text>')
        parts.append(f'<line x1="{self.left}" x2="{self.right}" y1="{self.bottom}" y2="{self.bottom}" class="axis"/>')
        return parts

    def drawn(self, parts: Iterable[str], label: str) -> str:
        """The whole picture; `label` says what it shows to those who can't see it."""
        return picture(parts, label, self.width, self.height)


def frame(across: tuple[float, float], up: tuple[float, float]) -> Frame:
    """Of the usual size, for values in these ranges."""
    return Frame(Axis(*across, _LEFT, WIDTH - _RIGHT), Axis(*up, HEIGHT - _BOTTOM, _TOP))


def picture(parts: Iterable[str], label: str, width: float, height: float) -> str:
    """SVG of these parts."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )
