"""A trace for the terminal: a tree of what was planned, done, judged and spent, beside its timeline. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.text import Text

from appliance.cli.timeline import LEGEND, Axis, seconds
from appliance.cli.trace_tree import ROLE_STYLES, Node, outcome_text, tree_of
from appliance.domain.model import Role
from appliance.domain.request import Usage
from appliance.domain.trace import CallRecord, Trace, VerdictRecord

_SHOWN_CHARS = 220
_WIDE = 100
"""From here on there is room for GPU-seconds and longer bars."""
_MIN_LABEL = 30
_BARS = 60
"""On fewer columns bars would leave no room for words."""
_PLAIN = str.maketrans(
    {"├": "|", "└": "`", "│": "|", "─": "-", "░": ".", "▒": "=", "█": "#", "✓": "+", "✗": "x", "→": ">", "≥": ">"}
    | {"·": "|", "…": "~"}
)


def render(trace: Trace) -> TraceView:
    """The whole of one request, as wide as the console is."""
    return TraceView(trace)


@dataclass(frozen=True, slots=True)
class TraceView:
    """What `render` gives; its layout is decided when the width is known."""

    trace: Trace

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines; plain ASCII where the terminal knows nothing else."""
        layout = _Layout.of(self.trace, options.max_width)
        for line, indent in (*_head(self.trace), *_work(self.trace, layout), *_foot(self.trace)):
            shown = Text(_ascii(line.plain)) if options.ascii_only else line
            shown.rstrip()
            yield Padding(shown, (0, 0, 0, indent), expand=False) if indent else shown


@dataclass(frozen=True, slots=True)
class _Layout:
    """Columns of the work's lines: label, tokens, seconds, GPU-seconds, bar; if narrow, only label and seconds."""

    width: int
    label: int
    gpu: bool
    axis: Axis | None

    @classmethod
    def of(cls, trace: Trace, width: int) -> _Layout:
        """Wider terminals give half of what they have more to the bars."""
        if width < _BARS:
            return cls(width, max(1, width - 7), False, None)
        gpu = width >= _WIDE
        bar = 16 + max(0, width - 80) // 2
        figures = 10 + 7 + (8 if gpu else 0) + 1
        label = max(_MIN_LABEL, width - figures - bar - 1)
        total_s = max((trace.duration_s, *(call.ended_s for call in trace.calls)))
        return cls(width, label, gpu, Axis(total_s, width - figures - label - 1))

    def line(self, label: Text, tokens: str = "", took: str = "", gpu: str = "", bar: Text | None = None) -> Text:
        """One line of the table; a label that is too long is cut."""
        line = label.copy()
        line.truncate(self.label, overflow="ellipsis", pad=True)
        if self.axis is None:
            return line.append(f"{took:>7}", "dim")
        line.append(f"{tokens:>10}{took:>7}" + (f"{gpu:>8}" if self.gpu else ""), "dim")
        return Text.assemble(line, "  ", bar or Text())


Line = tuple[Text, int]
"""A line, and by how much it is moved to the right where it wraps."""


def _head(trace: Trace) -> Iterator[Line]:
    headline = Text.assemble(
        (trace.requested_model, "bold"),
        " → ",
        (trace.decision.strategy, "bold"),
        "  ",
        outcome_text(trace.outcome),
        f"  {trace.duration_s:.2f} s",
        (f"  trace {trace.trace_id}", "dim"),
    )
    if trace.origin.replay_of is not None:
        headline.append(f"  replay of {trace.origin.replay_of}", "dim")
    yield headline, 0
    if trace.error:
        yield Text(trace.error, "red"), 0
    if trace.question is not None:
        yield Text(_shortened(trace.question), "italic"), 0
    if trace.answer is not None:
        yield Text(f"→ {_shortened(trace.answer)}", "bold green"), 0
    yield Text.assemble(("because ", "dim"), "; ".join(trace.decision.reasons) or "no reason given"), 0
    for left in trace.reduced:
        yield Text.assemble(("smaller plan ", "bold yellow"), f"{left.step}: {left.reason}"), 0


def _work(trace: Trace, layout: _Layout) -> Iterator[Line]:
    """Tasks and calls, each with its place on the axis."""
    top = tree_of(trace)
    if not top:
        return
    if layout.axis is not None:
        yield layout.line(Text(LEGEND, "dim"), "tokens", "s", "GPU s", layout.axis.heading()), 0
    for index, node in enumerate(top):
        yield from _node_lines(node, layout, "", last=index == len(top) - 1)


def _node_lines(node: Node, layout: _Layout, before: str, *, last: bool) -> Iterator[Line]:
    branch = before + ("└─ " if last else "├─ ")
    below = before + ("   " if last else "│  ")
    label = Text.assemble((branch, "dim"), node.label)
    notes = [*node.notes]
    if node.more is not None:
        if label.cell_len + 2 + node.more.cell_len <= layout.label:
            label.append("  ").append_text(node.more)
        else:
            notes.insert(0, node.more)
    if node.aside is not None and label.cell_len + 2 + node.aside.cell_len <= layout.label:
        label.append("  ").append_text(node.aside)
    yield layout.line(label, *_figures(node, layout)), 0
    stem = below + ("│  " if node.children else "   ")
    for note in notes:
        for line in note.wrap(_WRAPPING, max(_MIN_LABEL, layout.width - len(stem))):
            yield Text.assemble((stem, "dim"), line), 0
    for index, child in enumerate(node.children):
        yield from _node_lines(child, layout, below, last=index == len(node.children) - 1)


_WRAPPING = Console(color_system=None)
"""`Text.wrap` wants one, and asks it for nothing but its tab size."""


def _figures(node: Node, layout: _Layout) -> tuple[str, str, str, Text | None]:
    """Tokens, seconds, GPU-seconds and bar; nothing for a task that never began."""
    call, axis = node.call, layout.axis
    if call is not None:
        tokens = f"{'~' if call.usage_estimated else ''}{call.usage.prompt_tokens}+{call.usage.completion_tokens}"
        bar = axis.call(call, ROLE_STYLES[call.role]) if axis else None
        return tokens, seconds(call.queue_s + call.engine_s), f"{call.gpu_s:.3f}", bar
    if node.begun_s > node.ended_s:
        return "", "", "", None
    return "", seconds(node.ended_s - node.begun_s), "", axis.span(node.begun_s, node.ended_s) if axis else None


def _foot(trace: Trace) -> Iterator[Line]:
    for fallback in trace.fallbacks:
        text = f"{fallback.role.value}: {fallback.reason} → {fallback.action}"
        yield Text.assemble(("fallback ", "bold yellow"), text), 0
    engine_s = sum(call.engine_s for call in trace.calls)
    total = (
        f"{len(trace.calls)} calls · {trace.usage.total_tokens} tokens ({_in_and_out(trace.usage)}) · "
        f"{trace.duration_s:.2f} s · {engine_s:.2f} engine seconds · {trace.gpu_s:.3f} GPU seconds"
    )
    yield Text.assemble(("total ", "bold"), total), 0
    by_role = ", ".join(f"{role.value} {_sum(calls).total_tokens}" for role, calls in _by_role(trace.calls))
    if by_role:
        yield Text(f"tokens by role: {by_role}", "dim"), 2
    if trace.verdicts:
        yield Text(_verdicts(trace.verdicts), "dim"), 2
    yield _budget(trace), 2


def _verdicts(verdicts: tuple[VerdictRecord, ...]) -> str:
    counts = ", ".join(f"{count} {kind.value}" for kind, count in Counter(v.verdict for v in verdicts).items())
    guessed = dict.fromkeys(v.verifier_model_id for v in verdicts if v.verifier_model_id and not v.calibrated)
    return f"verdicts: {counts}" + (f"; not calibrated: {', '.join(guessed)}" if guessed else "")


def _budget(trace: Trace) -> Text:
    budget = trace.budget
    used = (
        f"budget: {budget.used_calls}/{budget.limit_calls} calls, {budget.used_tokens}/{budget.limit_tokens} tokens, "
        f"{budget.used_wall_s:.1f}/{budget.limit_wall_s:.0f} s"
    )
    if budget.limit_gpu_s is not None:
        used += f", {budget.used_gpu_s:.2f}/{budget.limit_gpu_s:g} GPU s"
    line = Text(used, "dim")
    if budget.stopped_by is not None:
        line.append(f"  stopped by {budget.stopped_by}", "red")
    return line


def _by_role(calls: Iterable[CallRecord]) -> list[tuple[Role, list[CallRecord]]]:
    kept = list(calls)
    grouped = ((role, [call for call in kept if call.role is role]) for role in Role)
    return [(role, group) for role, group in grouped if group]


def _sum(calls: Iterable[CallRecord]) -> Usage:
    return sum((call.usage for call in calls), start=Usage())


def _in_and_out(usage: Usage) -> str:
    cached = f", {usage.cached_tokens} cached" if usage.cached_tokens else ""
    return f"{usage.prompt_tokens} in, {usage.completion_tokens} out{cached}"


def _ascii(text: str) -> str:
    return text.translate(_PLAIN).encode("ascii", "replace").decode()


def _shortened(text: str, limit: int = _SHOWN_CHARS) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
