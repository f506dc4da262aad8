"""Bars on a common axis of time, in characters. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from appliance.domain.trace import CallRecord

WAITING, READING, WRITING, SPAN = "░", "▒", "█", "─"
"""A call in line; on its engine until its first token; from there on. A task, from its first call to its last."""

LEGEND = f"{WAITING} in line {READING} first token {WRITING} answering"


@dataclass(frozen=True, slots=True)
class Axis:
    """`total_s` seconds on `width` characters."""

    total_s: float
    width: int

    def heading(self) -> Text:
        """Its two ends."""
        end = f"{seconds(self.total_s)} s"
        return Text("0 s" + end.rjust(max(0, self.width - 3)), "dim")

    def span(self, begun_s: float, ended_s: float) -> Text:
        """A line from one moment to another."""
        first, after = self._cells(begun_s, ended_s)
        return Text(" " * first + SPAN * (after - first), "dim")

    def call(self, call: CallRecord, style: str) -> Text:
        """A call's time in line, until its first token, and after it; at least one character."""
        first, after = self._cells(call.started_s, call.ended_s)
        sent = self._cell(call.started_s + call.queue_s)
        if call.engine_s > 0:
            sent = min(sent, after - 1)  # what an engine worked on shows, however short
        spoke = self._cell(call.started_s + call.queue_s + (call.first_token_s or call.engine_s))
        if call.first_token_s is not None:
            spoke = min(spoke, after - 1)
        sent, spoke = max(first, sent), max(first, spoke)
        bar = Text(" " * first + WAITING * (sent - first), "dim")
        bar.append(READING * max(0, min(spoke, after) - sent), style)
        bar.append(WRITING * (after - max(sent, spoke)), style)
        return bar

    def _cells(self, begun_s: float, ended_s: float) -> tuple[int, int]:
        first = min(self._cell(begun_s), self.width - 1)
        return first, max(first + 1, min(self.width, self._cell(ended_s)))

    def _cell(self, moment_s: float) -> int:
        return round(self.width * moment_s / self.total_s) if self.total_s > 0 else 0


def seconds(value_s: float) -> str:
    """Three digits are enough to compare."""
    return f"{value_s:.2f}" if value_s < 10 else f"{value_s:.1f}" if value_s < 100 else f"{value_s:.0f}"
