"""A request and its replay side by side: what was the same, what differs, and what each took. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from appliance.domain.trace import Trace


@dataclass(frozen=True, slots=True)
class Line:
    """One fact about both. `counts`: that it differs says something; times and what follows from them always do."""

    name: str
    original: str
    replay: str
    counts: bool = True

    @property
    def differs(self) -> bool:
        """Whether the choice made a difference here."""
        return self.counts and self.original != self.replay


def compare(original: Trace, replay: Trace) -> tuple[Line, ...]:
    """Every line of the comparison: the choices, what came of them, what that took."""
    facts = (Line(name, fact(original), fact(replay), counts) for name, fact, counts in _facts())
    costs = (
        Line(name, format(cost(original), form), _changed(cost(original), cost(replay), form), counts=False)
        for name, cost, form in _costs()
    )
    return (*facts, *costs)


def render(original: Trace, replay: Trace) -> RenderableType:
    """The table, and in one sentence what differs."""
    lines = compare(original, replay)
    table = Table(box=None, pad_edge=False)
    table.add_column("", style="dim")
    table.add_column("original", header_style="bold")
    table.add_column("replay", header_style="bold")
    for line in lines:
        style = "yellow" if line.differs else ""
        table.add_row(line.name, Text(line.original), Text(line.replay, style))
    differing = [line.name for line in lines if line.differs]
    summary = f"differs: {', '.join(differing)}" if differing else "the same choice, the same graph, the same answer"
    return Group(table, Text(summary, "yellow" if differing else "green"))


def _facts() -> Iterator[tuple[str, Callable[[Trace], str], bool]]:
    yield "trace", lambda trace: trace.trace_id, False
    yield "strategy", lambda trace: trace.decision.strategy, True
    yield "because", lambda trace: "; ".join(trace.decision.reasons), False
    yield "effort", _effort, True
    yield "models", _models, True
    yield "outcome", lambda trace: " ".join((trace.outcome.value, trace.error)).strip(), True
    yield "answer", lambda trace: trace.answer or "", True
    yield "graph", _graph, True
    yield "verdicts", _verdicts, True
    yield "fallbacks", _fallbacks, True


def _costs() -> Iterator[tuple[str, Callable[[Trace], float], str]]:
    yield "calls", lambda trace: len(trace.calls), "d"
    yield "tokens", lambda trace: trace.usage.total_tokens, "d"
    yield "seconds", lambda trace: trace.duration_s, ".2f"
    yield "GPU seconds", lambda trace: trace.gpu_s, ".3f"


def _effort(trace: Trace) -> str:
    return trace.request.effort.value if trace.request is not None else ""


def _models(trace: Trace) -> str:
    """Roles in the order in which they were first played."""
    played: dict[str, dict[str, None]] = {}
    for call in trace.calls:
        played.setdefault(call.role.value, {})[call.model_id] = None
    return "\n".join(f"{role}: {', '.join(models)}" for role, models in played.items())


def _graph(trace: Trace) -> str:
    lines = []
    for task in trace.tasks:
        needs = f" ← {', '.join(task.needs)}" if task.needs else ""
        work = f"  {' '.join(task.instruction.split())}" if task.instruction else ""
        result = f" → {' '.join(task.result.split())}" if task.result else ""
        lines.append(f"{task.task_id} {task.skill}{needs}{work}{result}")
    return "\n".join(lines)


def _verdicts(trace: Trace) -> str:
    counts = Counter(verdict.verdict.value for verdict in trace.verdicts)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def _fallbacks(trace: Trace) -> str:
    return "\n".join(f"{fallback.role.value}: {fallback.action}" for fallback in trace.fallbacks)


def _changed(before: float, after: float, form: str) -> str:
    """The figure after, with its change in percent where there is one to speak of."""
    shown = format(after, form)
    if before <= 0 or format(before, form) == shown:
        return shown
    return f"{shown} ({100 * (after / before - 1):+.0f}%)"
